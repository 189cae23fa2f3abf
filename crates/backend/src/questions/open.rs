//! One question from its arrival to the response.

use std::pin::pin;
use std::sync::Arc;

use isthmus_exchange::Answer;
use isthmus_protocol::{Id, Method};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};

use super::state::{Arrived, Stage};
use super::{HOLD, Questions, SIBLINGS, STUCK, Wire, belongs_to_nobody, shape};
use crate::asking::never_answered;

/// Follows a question in the background until the backend has its response, or wants none any more.
pub(super) fn see_through<W: Wire>(wire: &Arc<W>, arrived: Arrived) {
    let Arrived {
        id,
        method,
        answered,
        stage,
    } = arrived;
    let open = Open {
        questions: wire.questions().clone(),
        id,
        method,
        stage,
    };
    let responding = wire.clone();
    wire.run(async move {
        if let Some(answer) = open.answer(answered).await {
            open.deliver(responding, &answer).await;
        }
    });
}

struct Open {
    questions: Arc<Questions>,
    id: Id,
    method: Method,
    stage: watch::Receiver<Stage>,
}

impl Open {
    /// Waits for an answer, or makes one. `None` once the backend wants none any more: then whoever was asked learns so,
    /// because the place where his answer would arrive goes.
    async fn answer(&self, mut answered: oneshot::Receiver<Answer>) -> Option<Answer> {
        let mut stage = self.stage.clone();
        let refused_at = Instant::now() + HOLD;
        let mut timer = pin!(sleep(match &*stage.borrow_and_update() {
            Stage::Held => STUCK,
            _ => SIBLINGS,
        }));
        let mut timed = true;
        loop {
            tokio::select! {
                biased;
                changed = stage.changed() => {
                    changed.ok()?;
                    match stage.borrow_and_update().clone() {
                        Stage::Held => {}
                        Stage::Asked => {
                            timer.as_mut().reset(Instant::now() + SIBLINGS);
                            timed = true;
                        }
                        Stage::Refused(error) => return Some(Err(error)),
                        // Whoever gave up may have said why.
                        Stage::Abandoned => {
                            let said = answered.try_recv();
                            return Some(said.unwrap_or_else(|_| never_answered(&self.method)));
                        }
                    }
                }
                answer = &mut answered => {
                    return Some(answer.unwrap_or_else(|_| never_answered(&self.method)));
                }
                () = &mut timer, if timed => {
                    let mut state = self.questions.state();
                    if *stage.borrow() != Stage::Held {
                        timed = false;
                        state.pause(&self.id);
                    } else if Instant::now() < refused_at {
                        timer.as_mut().reset(refused_at);
                        state.unstick();
                    } else if state.give_up(&self.id) {
                        return Some(Err(belongs_to_nobody(&self.method)));
                    } else {
                        timed = false;
                    }
                }
            }
        }
    }

    /// Sends the response, when it is the call's turn.
    async fn deliver(mut self, wire: Arc<impl Wire>, answer: &Answer) {
        let turn = self.questions.state().take_turn_again(&self.id);
        if let Some(turn) = turn {
            tokio::select! {
                biased;
                () = withdrawn(&mut self.stage) => return,
                // The sender goes only with its call.
                _ = turn => {}
            }
        }
        let revision = self.questions.revision.get().copied();
        let response = shape::response(&self.id, &self.method, revision, answer);
        tokio::select! {
            biased;
            () = withdrawn(&mut self.stage) => return,
            () = wire.respond(response) => {}
        }
        let rest = self.questions.state().answered(&self.id);
        if let Some(call) = rest {
            // It may go on, and it may wait for the rest of its answers.
            sleep(SIBLINGS).await;
            self.questions.state().pause_call(call);
        }
    }
}

/// Completes when the question is open no more.
async fn withdrawn(stage: &mut watch::Receiver<Stage>) {
    while stage.changed().await.is_ok() {}
}
