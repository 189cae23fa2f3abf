#![allow(
    clippy::needless_pass_by_value,
    reason = "`json!` where it is used reads best"
)]

use std::time::Duration;

use isthmus_exchange::{Event, Outcome, Question, Reply, Step, Wants};
use isthmus_protocol::{JsonRpcError, Method, Revision};
use serde_json::{Value, json};

use crate::tasks::tests::{INSIDE, Stage, backend, call, caller, core_task, raw, result_of};

/// A driven call whose backend has made a task of it.
async fn driven(stage: &mut Stage) -> Reply {
    let caller = caller(Revision::V2025_06_18, json!({}));
    let mut outgoing = call("required");
    outgoing.wants = Wants {
        progress: true,
        log_level: None,
    };
    let sent = stage.send(INSIDE, &caller, outgoing);
    let core = stage.conversation.facts().revision == Revision::V2025_11_25;
    let backend = async {
        let asked = stage.asked(&Method::ToolsCall).await;
        if core {
            asked.result(json!({"task": core_task("working")}));
            return;
        }
        let missing =
            json!({"requiredCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}});
        asked.error(JsonRpcError::new(-32021, "").with_data(&missing));
        stage.asked(&Method::ToolsCall).await.task(task("working"));
    };
    let (reply, ()) = tokio::join!(sent, backend);
    reply.unwrap()
}

fn task(status: &str) -> Value {
    json!({"taskId": "1", "status": status, "ttlMs": null, "pollIntervalMs": 2000})
}

fn asking(questions: Value) -> Value {
    let mut task = task("input_required");
    task["inputRequests"] = questions;
    task
}

fn form() -> Value {
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": "?"}})
}

async fn question(reply: &mut Reply) -> Question {
    match reply.next().await {
        Step::Event(Event::Question(question)) => question,
        other => panic!("no question: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_is_looked_at_as_often_as_its_backend_says_and_its_changes_are_progress() {
    let mut stage = Stage::new(Revision::V2026_07_28);
    let mut reply = driven(&mut stage).await;
    let begun = tokio::time::Instant::now();
    let backend = async {
        stage.answer(&Method::TasksGet, task("working")).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        let mut further = task("working");
        further["statusMessage"] = json!("half");
        further["pollIntervalMs"] = json!(5000);
        stage.answer(&Method::TasksGet, further).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(4));
        let mut done = task("completed");
        done["result"] = json!({"resultType": "complete", "content": []});
        stage.answer(&Method::TasksGet, done).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(9));
        stage
    };
    let caller = async {
        let Step::Event(Event::Progress(progress)) = reply.next().await else {
            panic!("no progress")
        };
        assert_eq!(
            progress.params.as_str(),
            r#"{"progress":1.0,"message":"half"}"#
        );
        let Step::Done(outcome) = reply.next().await else {
            panic!("not done")
        };
        assert_eq!(result_of(outcome), json!({"content": []}));
    };
    let (mut stage, ()) = tokio::join!(backend, caller);
    drop(reply);
    nothing_more(&mut stage).await;
}

/// Nobody asks the backend anything for a while.
async fn nothing_more(stage: &mut Stage) {
    let asked = tokio::time::timeout(Duration::from_secs(300), stage.asked(&Method::TasksCancel));
    assert!(asked.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_cancels_the_task() {
    for revision in [Revision::V2025_11_25, Revision::V2026_07_28] {
        let mut stage = Stage::new(revision);
        let mut reply = driven(&mut stage).await;
        // Only once the reply is read does the task begin to be looked at.
        tokio::select! {
            _ = reply.next() => panic!("nothing has happened"),
            asked = stage.asked(&Method::TasksGet) => drop(asked.result(task("working"))),
        }
        drop(reply);
        let params = stage.answer(&Method::TasksCancel, json!({})).await;
        assert_eq!(params, json!({"taskId": "1"}));
    }
}

#[tokio::test(start_paused = true)]
async fn each_question_is_asked_once_and_answered_under_its_key() {
    let mut stage = Stage::new(Revision::V2026_07_28);
    let mut reply = driven(&mut stage).await;
    let questions = json!({"a": form(), "b": form()});
    let (first, _) = tokio::join!(
        question(&mut reply),
        stage.answer(&Method::TasksGet, asking(questions.clone())),
    );
    let second = question(&mut reply).await;
    first.answer(Ok(raw(&json!({"action": "accept", "content": {"x": 1}}))));
    let backend = async {
        let update = stage.answer(&Method::TasksUpdate, json!({})).await;
        assert_eq!(
            update["inputResponses"],
            json!({"a": {"action": "accept", "content": {"x": 1}}})
        );
        // The backend has not noticed yet: nobody is asked again.
        stage.answer(&Method::TasksGet, asking(questions)).await;
        drop(second);
        let update = stage.answer(&Method::TasksUpdate, json!({})).await;
        assert_eq!(update["inputResponses"], json!({"b": {"action": "cancel"}}));
        let mut done = task("completed");
        done["result"] = json!({"content": []});
        stage.answer(&Method::TasksGet, done).await;
    };
    let (step, ()) = tokio::join!(reply.next(), backend);
    assert!(matches!(step, Step::Done(Ok(Outcome::Complete(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_no_longer_asked_is_withdrawn() {
    let mut stage = Stage::new(Revision::V2026_07_28);
    let mut reply = driven(&mut stage).await;
    let (mut asked, _) = tokio::join!(
        question(&mut reply),
        stage.answer(&Method::TasksGet, asking(json!({"a": form()}))),
    );
    let withdrawn = async {
        let answered = stage.answer(&Method::TasksGet, task("working")).await;
        drop(answered);
        asked.withdrawn().await;
    };
    tokio::join!(reply.next(), withdrawn);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_there_ends_the_call_and_the_task() {
    let mut stage = Stage::new(Revision::V2026_07_28);
    let mut reply = driven(&mut stage).await;
    let sampling = json!({"method": "sampling/createMessage", "params": {}});
    let (asked, _) = tokio::join!(
        question(&mut reply),
        stage.answer(&Method::TasksGet, asking(json!({"a": sampling}))),
    );
    asked.answer(Err(JsonRpcError::new(-1, "no thanks")));
    let Step::Done(Err(error)) = reply.next().await else {
        panic!("no error")
    };
    assert!(error.message().contains("no thanks"));
    drop(reply);
    stage.answer(&Method::TasksCancel, json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn the_questions_of_a_task_of_2025_come_with_its_result() {
    let mut stage = Stage::new(Revision::V2025_11_25);
    let mut reply = driven(&mut stage).await;
    let backend = async {
        stage
            .answer(&Method::TasksGet, core_task("input_required"))
            .await;
        let steps = stage.asked(&Method::TasksResult).await.open();
        let (asked, answer) = Question::new(backend(), Method::RootsList, raw(&json!({})));
        steps
            .send(Step::Event(Event::Question(asked)))
            .await
            .unwrap();
        answer.await.unwrap().unwrap();
        let result = json!({"content": [], "_meta": {"io.modelcontextprotocol/related-task": {"taskId": "1"}}});
        let complete = isthmus_exchange::Complete {
            result: raw(&result),
            cache: None,
        };
        steps
            .send(Step::Done(Ok(Outcome::Complete(complete))))
            .await
            .unwrap();
        stage
    };
    let caller = async {
        question(&mut reply)
            .await
            .answer(Ok(raw(&json!({"roots": []}))));
        let Step::Done(outcome) = reply.next().await else {
            panic!("not done")
        };
        assert_eq!(result_of(outcome), json!({"content": []}));
    };
    let (mut stage, ()) = tokio::join!(backend, caller);
    drop(reply);
    nothing_more(&mut stage).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_task_fails_the_call_and_a_cancelled_one_too() {
    for status in ["failed", "cancelled"] {
        let mut stage = Stage::new(Revision::V2026_07_28);
        let mut reply = driven(&mut stage).await;
        let mut end = task(status);
        end["error"] = json!({"code": -32000, "message": "broken"});
        let (step, _) = tokio::join!(reply.next(), stage.answer(&Method::TasksGet, end));
        let Step::Done(Err(error)) = step else {
            panic!("no error")
        };
        assert_eq!(error.message() == "broken", status == "failed");
        drop(reply);
        nothing_more(&mut stage).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_away_for_a_moment_is_asked_again() {
    let mut stage = Stage::new(Revision::V2026_07_28);
    let mut reply = driven(&mut stage).await;
    let backend = async {
        for _ in 0..super::FAILURES {
            stage.asked(&Method::TasksGet).await.away();
        }
        let mut done = task("completed");
        done["result"] = json!({"content": []});
        stage.answer(&Method::TasksGet, done).await;
    };
    let (step, ()) = tokio::join!(reply.next(), backend);
    assert!(matches!(step, Step::Done(Ok(_))));
}
