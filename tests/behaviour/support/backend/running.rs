//! A request that a scripted backend works on: it asks, reports and waits in the middle.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Backend, Seen, State, Work, within};

/// A request that is being worked on. Dropped with its backend's runtime, or when its work ends.
#[derive(Clone)]
pub struct Running {
    pub method: String,
    pub params: Value,
    pub id: Value,
    /// On what it came; see [`Seen::session`].
    pub session: String,
    feed: mpsc::Sender<String>,
    state: Arc<State>,
}

/// A question that was asked.
pub struct Asked {
    pub id: Value,
    session: String,
    state: Arc<State>,
    feed: mpsc::Sender<String>,
}

/// Notes that a request is worked on no more.
struct Done(Arc<State>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

impl Running {
    pub(super) fn new(
        state: &Arc<State>,
        session: &str,
        message: &Value,
    ) -> (Self, mpsc::Receiver<String>) {
        let (feed, fed) = mpsc::channel(64);
        let running = Self {
            method: message["method"].as_str().unwrap().to_owned(),
            params: message["params"].clone(),
            id: message["id"].clone(),
            session: session.to_owned(),
            feed,
            state: state.clone(),
        };
        (running, fed)
    }

    /// Works on it in a task of its own, and answers with what comes of it.
    pub(super) fn work(self, work: Work) {
        self.state.running.send_modify(|running| *running += 1);
        let done = Done(self.state.clone());
        tokio::spawn(async move {
            let _done = done;
            let (feed, stateless) = (self.feed.clone(), self.state.stateless());
            let id = self.id.clone();
            let lost = self.state.lost(&self.session, &self.id);
            let mut came = tokio::select! {
                biased;
                () = lost => return,
                came = work(self) => came,
            };
            let mut response = json!({"jsonrpc": "2.0", "id": id});
            if came.get("error").is_some() {
                response["error"] = came["error"].take();
            } else {
                if stateless && came.get("resultType").is_none() {
                    came["resultType"] = json!("complete");
                }
                response["result"] = came;
            }
            let _ = feed.send(response.to_string()).await;
        });
    }

    /// Asks on the stream of this very request, and waits for what is answered: `{"result": …}` or `{"error": …}`.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        self.begin(method, params).await.answer().await
    }

    /// Asks on the stream of this very request.
    pub async fn begin(&self, method: &str, params: Value) -> Asked {
        self.begin_as(self.state.question_id(), method, params)
            .await
    }

    /// Asks on the stream of this very request, under an id of the test's own.
    pub async fn begin_as(&self, id: Value, method: &str, params: Value) -> Asked {
        self.put(self.feed.clone(), id, method, params).await
    }

    /// Asks on the session's own stream (GET), which says nothing of the request.
    pub async fn begin_beside(&self, method: &str, params: Value) -> Asked {
        let feed = self.state.listeners.of(&self.session).await;
        self.put(feed, self.state.question_id(), method, params)
            .await
    }

    async fn put(
        &self,
        feed: mpsc::Sender<String>,
        id: Value,
        method: &str,
        params: Value,
    ) -> Asked {
        let mut question = json!({"jsonrpc": "2.0", "id": id, "method": method});
        if !params.is_null() {
            question["params"] = params;
        }
        let _ = feed.send(question.to_string()).await;
        Asked {
            id,
            session: self.session.clone(),
            state: self.state.clone(),
            feed,
        }
    }

    /// Sends a notification on the stream of this request.
    pub async fn say(&self, method: &str, params: Value) {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        let _ = self.feed.send(message.to_string()).await;
    }

    /// What was declared when the session was opened; known of those over a pipe or HTTP+SSE.
    pub fn declared(&self) -> Value {
        let seen = self.state.seen.borrow();
        let opened = seen
            .iter()
            .find(|seen| seen.session == self.session && seen.message["method"] == "initialize");
        opened.unwrap().message["params"]["capabilities"].clone()
    }

    /// Reports progress under the token that came with the request.
    pub async fn progress(&self, progress: u32) {
        let token = &self.params["_meta"]["progressToken"];
        let params = json!({"progressToken": token, "progress": progress});
        self.say("notifications/progress", params).await;
    }
}

impl Backend {
    /// Asks in this session while nothing runs, or none of what runs: on its own stream.
    pub async fn ask_in(&self, session: &str, method: &str, params: Value) -> Asked {
        let feed = self.state.listeners.of(session).await;
        let id = self.state.question_id();
        let mut question = json!({"jsonrpc": "2.0", "id": id, "method": method});
        if !params.is_null() {
            question["params"] = params;
        }
        let _ = feed.send(question.to_string()).await;
        Asked {
            id,
            session: session.to_owned(),
            state: self.state.clone(),
            feed,
        }
    }

    /// Says something in one session only, on its own stream.
    pub async fn announce_in(&self, session: &str, method: &str, params: Value) {
        let feed = self.state.listeners.of(session).await;
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        let _ = feed.send(message.to_string()).await;
    }

    /// How many requests are being worked on.
    pub fn running(&self) -> usize {
        *self.state.running.borrow()
    }

    /// Waits until just so many requests are being worked on.
    pub async fn runs(&self, count: usize) {
        let mut running = self.state.running.subscribe();
        let came = within(running.wait_for(|running| *running == count)).await;
        came.unwrap_or_else(|| panic!("{} run and not {count}", self.running()))
            .unwrap();
    }

    /// The sessions that are open: greeted, and not ended by DELETE. Only those over HTTP end so.
    pub fn open_sessions(&self) -> usize {
        let seen = self.state.seen.borrow();
        let count = |fits: &dyn Fn(&Seen) -> bool| seen.iter().filter(|seen| fits(seen)).count();
        let opened = count(&|seen| seen.message["method"] == "notifications/initialized");
        opened - count(&|seen| seen.http == http::Method::DELETE)
    }

    /// Waits until just so many sessions are open.
    pub async fn has_open_sessions(&self, count: usize) {
        let mut seen = self.state.seen.subscribe();
        let came = within(async {
            while self.open_sessions() != count {
                seen.changed().await.unwrap();
            }
        });
        if came.await.is_none() {
            panic!(
                "{} sessions are open, and not {count}",
                self.open_sessions()
            );
        }
    }
}

impl Asked {
    /// Waits for what is answered: `{"result": …}` or `{"error": …}`.
    pub async fn answer(&self) -> Value {
        let fits = |seen: &Seen| seen.session == self.session && response_to(seen, &self.id);
        let mut message = self.state.hears(fits).await.message;
        if let Value::Array(batch) = message {
            message = batch
                .into_iter()
                .find(|one| one["id"] == self.id)
                .unwrap_or_default();
        }
        let members = message.as_object_mut().unwrap();
        members.remove("jsonrpc");
        members.remove("id");
        message
    }

    /// Whether it was answered by now.
    pub fn is_answered(&self) -> bool {
        let seen = self.state.seen.borrow();
        seen.iter()
            .any(|seen| seen.session == self.session && response_to(seen, &self.id))
    }

    /// Takes it back.
    pub async fn withdraw(&self) {
        let params = json!({"requestId": self.id, "reason": "no longer needed"});
        let method = "notifications/cancelled";
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        let _ = self.feed.send(message.to_string()).await;
    }
}

impl State {
    /// An id for a question; their JSON types alternate, and both have to come back as they are.
    fn question_id(&self) -> Value {
        let mut questions = self.questions.lock().unwrap();
        *questions += 1;
        if questions.is_multiple_of(2) {
            json!(*questions)
        } else {
            json!(format!("native-question-{questions}"))
        }
    }

    /// Waits until nobody is there any more for whom a request is worked on: it was cancelled, or its session, pipe or
    /// event stream is gone.
    fn lost(self: &Arc<Self>, session: &str, id: &Value) -> impl Future<Output = ()> + use<> {
        let (state, session, id) = (self.clone(), session.to_owned(), id.clone());
        let mut cut = self.cuts.subscribe();
        async move {
            let own_wire = session.starts_with("pipe-") || session.starts_with("stream-");
            let closed = async {
                if own_wire {
                    state.listeners.none_of(&session).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            let ended = state.hears(|seen| {
                let cancelled = seen.message["method"] == "notifications/cancelled"
                    && seen.message["params"]["requestId"] == id;
                seen.session == session && (cancelled || seen.http == http::Method::DELETE)
            });
            tokio::select! {
                () = closed => {}
                _ = ended => {}
                _ = cut.changed() => {}
            }
        }
    }

    async fn hears(&self, fits: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        // As long as a question may stay open: the test says when it has had enough.
        let all = seen.wait_for(|all| all.iter().any(&fits)).await.unwrap();
        all.iter().find(|one| fits(one)).cloned().unwrap()
    }
}

fn response_to(seen: &Seen, id: &Value) -> bool {
    let fits = |message: &Value| message["id"] == *id && message["method"].is_null();
    match &seen.message {
        Value::Array(batch) => batch.iter().any(fits),
        message => fits(message),
    }
}
