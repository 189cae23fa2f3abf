//! Backends that ask, and clients that come back with answers.

use std::sync::{Arc, Mutex};

use isthmus_config::{Glob, Route};
use isthmus_exchange::{
    Attachment, BackendName, BoxStage, CacheHint, Caller, Complete, Continuation, Error, ErrorKind,
    Event, InputRequired, Outcome, ParkId, Question, Reply, Request, Retry, Step,
};
use isthmus_protocol::{JsonRpcError, Method, RawJson};

use crate::scripted::Scripted;
use crate::{
    Hides, RESOURCE, TOOL, json, request, router, router_that_shows, serve, serve_as, session,
    stateless_as,
};

const ELICIT: &str =
    r#"{"name":{"method":"elicitation/create","params":{"mode":"form","message":"Name?"}}}"#;
const ANSWER: &str = r#"{"name":{"action":"accept","content":{"x":1.0}}}"#;

type Retries = Arc<Mutex<Vec<Option<Retry>>>>;

/// Makes a backend ask until it gets an answer, and notes what came with each request.
fn asks(backend: &Scripted, state: Option<Continuation>) -> Retries {
    let retries = Retries::default();
    let noted = retries.clone();
    backend.answers(move |request| {
        let answered = request
            .retry
            .as_ref()
            .is_some_and(|retry| retry.responses.is_some());
        noted.lock().unwrap().push(request.retry);
        if answered {
            return Ok(Reply::complete(json(r#"{"content":[]}"#)));
        }
        Ok(Reply::ready(Outcome::InputRequired(InputRequired {
            requests: Some(json(ELICIT)),
            state: state.clone(),
        })))
    });
    retries
}

fn opaque(state: &str) -> Option<Continuation> {
    Some(Continuation::Opaque(state.to_owned()))
}

/// Sends a request that is answered with questions, and returns these and our state.
async fn asked(stage: &BoxStage, request: Request) -> (String, String) {
    match stage.run(request).await.unwrap().outcome().await.unwrap() {
        Outcome::InputRequired(InputRequired {
            requests,
            state: Some(Continuation::Opaque(state)),
        }) => (requests.unwrap().to_string(), state),
        other => panic!("{other:?}"),
    }
}

fn retry(request: &Request, state: Option<&str>) -> Request {
    Request {
        retry: Some(Retry {
            state: state.and_then(opaque),
            responses: Some(json(ANSWER)),
        }),
        ..request.clone()
    }
}

async fn outcome(stage: &BoxStage, request: Request) -> Result<Outcome, Error> {
    stage.run(request).await?.outcome().await
}

async fn refusal(stage: &BoxStage, request: Request) -> Error {
    outcome(stage, request).await.unwrap_err()
}

fn call(caller: &Arc<Caller>, params: &str) -> Request {
    request(caller, Method::ToolsCall, params)
}

#[tokio::test(start_paused = true)]
async fn a_retry_brings_the_backend_its_own_state_and_the_answers() {
    let files = Scripted::ready("files", &[(TOOL, "t", "")]);
    for state in [opaque("inner"), None] {
        let retries = asks(&files, state.clone());
        let (_router, stage) = router([&files]);
        let first = call(
            &stateless_as("anna"),
            r#"{"name":"files__t","arguments":{}}"#,
        );
        let (_, sealed) = asked(&stage, first.clone()).await;
        assert!(!sealed.contains("inner"));
        let done = outcome(&stage, retry(&first, Some(&sealed))).await.unwrap();
        assert!(matches!(done, Outcome::Complete(_)));
        let retries = std::mem::take(&mut *retries.lock().unwrap());
        assert!(retries[0].is_none());
        let retry = retries[1].clone().unwrap();
        assert_eq!(retry.state, state);
        assert_eq!(retry.responses, Some(json(ANSWER)));
        let call = r#"tools/call {"name":"t","arguments":{}}"#;
        assert_eq!(files.heard(), [call, call]);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_state_go_to_the_backend_as_they_are() {
    let files = Scripted::ready("files", &[(TOOL, "t", "")]);
    let retries = asks(&files, None);
    let (_router, stage) = router([&files]);
    let first = call(&stateless_as("anna"), r#"{"name":"files__t"}"#);
    outcome(&stage, retry(&first, None)).await.unwrap();
    let retry = retries.lock().unwrap()[0].clone().unwrap();
    assert_eq!(retry.state, None);
    assert_eq!(retry.responses, Some(json(ANSWER)));
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_to_who_asked_whatever_the_name_means_by_then() {
    let one = Scripted::ready("one", &[(TOOL, "t", "")]);
    let two = Scripted::ready("two", &[(TOOL, "t", "")]);
    let retries = asks(&one, opaque("of one"));
    let (router, stage) = router([&one, &two]);
    let first = call(&stateless_as("anna"), r#"{"name":"one__t"}"#);
    let (_, state) = asked(&stage, first.clone()).await;
    let mut route = Route::new("/mcp");
    route.tools.rename = vec![
        ("one__t".to_owned(), "old".to_owned()),
        ("two__t".to_owned(), "one__t".to_owned()),
    ];
    serve_as(&router, route, [&one, &two]);
    outcome(&stage, retry(&first, Some(&state))).await.unwrap();
    assert_eq!(retries.lock().unwrap().len(), 2);
    assert!(two.heard().is_empty());
    // And a new request goes where the name leads now.
    outcome(&stage, first).await.unwrap();
    assert_eq!(two.heard().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_a_parked_call_goes_to_the_parking_even_if_its_backend_is_gone() {
    let one = Scripted::ready("one", &[(TOOL, "t", "")]);
    let two = Scripted::ready("two", &[(TOOL, "t", "")]);
    let park = ParkId(7);
    asks(&one, Some(Continuation::Parked { park, round: 1 }));
    let (router, stage) = router([&one, &two]);
    let first = call(&stateless_as("anna"), r#"{"name":"one__t"}"#);
    let (_, state) = asked(&stage, first.clone()).await;
    one.heard();
    for gone in [false, true] {
        if gone {
            serve(&router, [&two]);
        }
        // There is no such park: the parking was asked, and nobody else.
        let refused = refusal(&stage, retry(&first, Some(&state))).await;
        assert_eq!(*refused.kind(), ErrorKind::Expired, "{refused}");
        assert!(one.heard().is_empty() && two.heard().is_empty());
    }
    // Without the state it is a new request to somebody who is not there.
    let refused = refusal(&stage, first).await;
    assert_eq!(*refused.kind(), ErrorKind::InvalidParams);
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_backend_is_gone_says_so_if_nothing_waits_here() {
    let one = Scripted::ready("one", &[(TOOL, "t", "")]);
    let two = Scripted::ready("two", &[(TOOL, "t", "")]);
    asks(&one, opaque("inner"));
    let (router, stage) = router([&one, &two]);
    let first = call(&stateless_as("anna"), r#"{"name":"one__t"}"#);
    let (_, state) = asked(&stage, first.clone()).await;
    serve(&router, [&two]);
    let refused = refusal(&stage, retry(&first, Some(&state))).await;
    let one = BackendName::parse("one").unwrap();
    assert_eq!(*refused.kind(), ErrorKind::BackendUnavailable(one));
    assert!(two.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_state_is_of_no_use_to_others_or_for_other_requests() {
    let one = Scripted::ready("one", &[(TOOL, "t", ""), (TOOL, "u", "")]);
    asks(&one, opaque("inner"));
    let (_router, stage) = router([&one]);
    let (anna, berta) = (stateless_as("anna"), stateless_as("berta"));
    let first = call(&anna, r#"{"name":"one__t","arguments":{"a":1}}"#);
    let (_, state) = asked(&stage, first.clone()).await;
    one.heard();
    let mut foreign = Vec::new();
    for (caller, state) in [
        (&berta, state.as_str()),
        (&anna, &state[1..]),
        (&anna, "made up"),
    ] {
        let request = call(caller, r#"{"name":"one__t","arguments":{"a":1}}"#);
        foreign.push(refusal(&stage, retry(&request, Some(state))).await);
    }
    for refused in &foreign {
        assert_eq!(*refused.kind(), ErrorKind::InvalidParams);
        assert_eq!(refused.message(), foreign[0].message());
    }
    for changed in [
        r#"{"name":"one__t","arguments":{"a":2}}"#,
        r#"{"name":"one__u","arguments":{"a":1}}"#,
        r#"{"name":"t","arguments":{"a":1}}"#,
    ] {
        let refused = refusal(&stage, retry(&call(&anna, changed), Some(&state))).await;
        assert_eq!(*refused.kind(), ErrorKind::InvalidParams);
        assert!(refused.message().contains("other parameters"), "{refused}");
    }
    assert!(one.heard().is_empty());
    // The same, written in another way, is the same.
    let again = call(&anna, r#"{ "arguments" : {"\u0061":1},"name":"one__t"}"#);
    outcome(&stage, retry(&again, Some(&state))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_hidden_by_the_time_of_the_retry_is_unknown() {
    let one = Scripted::ready("one", &[(TOOL, "t", ""), (RESOURCE, "x:", "")]);
    asks(&one, opaque("inner"));
    let hides = Arc::new(Hides::default());
    let (router, stage) = router_that_shows(hides.clone(), [&one]);
    let anna = stateless_as("anna");
    let tool = call(&anna, r#"{"name":"one__t"}"#);
    let resource = request(&anna, Method::ResourcesRead, r#"{"uri":"x:"}"#);
    let (_, tool_state) = asked(&stage, tool.clone()).await;
    let (_, resource_state) = asked(&stage, resource.clone()).await;
    let refused = async || {
        let tool = refusal(&stage, retry(&tool, Some(&tool_state))).await;
        assert_eq!(tool.message(), "unknown tool: one__t");
        let resource = refusal(&stage, retry(&resource, Some(&resource_state))).await;
        let uri = "x:".to_owned();
        assert_eq!(*resource.kind(), ErrorKind::ResourceNotFound { uri });
    };
    hides.0.lock().unwrap().extend(["t", "x:"]);
    refused().await;
    hides.0.lock().unwrap().clear();
    // Left out by the operator is hidden too.
    let mut route = Route::new("/mcp");
    route.tools.exclude = vec![Glob::new("*")];
    route.resources.exclude = vec![Glob::new("x:")];
    serve_as(&router, route, [&one]);
    refused().await;
    serve(&router, [&one]);
    outcome(&stage, retry(&tool, Some(&tool_state)))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_state_of_one_route_does_not_open_on_another() {
    let one = Scripted::ready("one", &[(TOOL, "t", "")]);
    asks(&one, opaque("inner"));
    let (router, stage) = router([&one]);
    let first = call(&stateless_as("anna"), r#"{"name":"one__t"}"#);
    let (_, state) = asked(&stage, first.clone()).await;
    serve_as(&router, Route::new("/other"), [&one]);
    let other = router
        .stage(&isthmus_exchange::RouteName::new("/other"))
        .unwrap();
    let refused = refusal(&other, retry(&first, Some(&state))).await;
    assert!(refused.message().contains("not one that was given to you"));
}

#[tokio::test(start_paused = true)]
async fn a_question_says_who_asks() {
    let one = Scripted::ready("one", &[(TOOL, "t", "")]);
    let two = Scripted::ready("two", &[]);
    asks(&one, opaque("inner"));
    let expected = |message: &str| {
        format!(
            r#"{{"name":{{"method":"elicitation/create","params":{{"mode":"form","message":"{message}","_meta":{{"dev.isthmus/backend":"one"}}}}}}}}"#
        )
    };
    let first = call(&stateless_as("anna"), r#"{"name":"one__t"}"#);
    let (_router, alone) = router([&one]);
    assert_eq!(asked(&alone, first.clone()).await.0, expected("Name?"));
    let (_router, among_others) = router([&one, &two]);
    assert_eq!(asked(&among_others, first).await.0, expected("one: Name?"));
}

#[tokio::test(start_paused = true)]
async fn a_question_to_a_live_caller_says_who_asks_and_its_links_lead_back() {
    let one = Scripted::ready("one", &[(TOOL, "t", "")]);
    let two = Scripted::ready("two", &[(TOOL, "t", ""), (RESOURCE, "x:", "")]);
    one.answers(|_| {
        let name = BackendName::parse("one").unwrap();
        let params = r#"{"messages":[{"role":"user","content":{"type":"tool_result","content":[{"type":"resource_link","uri":"x:"}]}}],"maxTokens":1}"#;
        let (question, answer) = Question::new(name, Method::SamplingCreateMessage, json(params));
        let first = futures_util::stream::iter([Step::Event(Event::Question(question))]);
        let rest = futures_util::stream::once(async move {
            let answer = answer.await.unwrap().unwrap();
            let result = Complete {
                result: answer,
                cache: None,
            };
            Step::Done(Ok(Outcome::Complete(result)))
        });
        Ok(Reply::running(futures_util::StreamExt::chain(first, rest)))
    });
    let (_router, stage) = router([&one, &two]);
    let live = Arc::new(Caller {
        attachment: Attachment::Live,
        ..Caller::clone(&session(1))
    });
    let mut reply = stage
        .run(call(&live, r#"{"name":"one__t"}"#))
        .await
        .unwrap();
    let Step::Event(Event::Question(question)) = reply.next().await else {
        panic!("no question");
    };
    assert_eq!(
        question.params.as_str(),
        r#"{"messages":[{"role":"user","content":{"type":"tool_result","content":[{"type":"resource_link","uri":"one+x:"}]}}],"maxTokens":1,"_meta":{"dev.isthmus/backend":"one"}}"#
    );
    question.answer(Ok(json(r#"{"content":[]}"#)));
    assert!(matches!(reply.next().await, Step::Done(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_asks_is_answered_in_the_form_in_which_it_was_asked_for_and_kept_by_nobody() {
    let one = Scripted::ready("one", &[(RESOURCE, "x:", "")]);
    let two = Scripted::ready("two", &[(RESOURCE, "x:", "")]);
    two.answers(|request| {
        if request.retry.is_none() {
            let required = InputRequired {
                requests: Some(json(ELICIT)),
                state: None,
            };
            return Ok(Reply::ready(Outcome::InputRequired(required)));
        }
        let cache = Some(CacheHint {
            ttl: std::time::Duration::from_secs(60),
            public: true,
        });
        let result = json(r#"{"contents":[{"uri":"x:","text":""}]}"#);
        Ok(Reply::ready(Outcome::Complete(Complete { result, cache })))
    });
    let (_router, stage) = router([&one, &two]);
    let read = request(
        &stateless_as("anna"),
        Method::ResourcesRead,
        r#"{"uri":"two+x:"}"#,
    );
    let (_, state) = asked(&stage, read.clone()).await;
    let Outcome::Complete(complete) = outcome(&stage, retry(&read, Some(&state))).await.unwrap()
    else {
        panic!("not complete")
    };
    assert_eq!(
        complete.result.as_str(),
        r#"{"contents":[{"uri":"two+x:","text":""}]}"#
    );
    assert_eq!(complete.cache, None);
    assert!(one.heard().is_empty());
    assert_eq!(two.heard(), [r#"resources/read {"uri":"x:"}"#; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_backend_may_not_ask_where_nothing_can_be_asked_nor_make_clients_carry_its_store() {
    let one = Scripted::ready("one", &[(TOOL, "t", "")]);
    let name = BackendName::parse("one").unwrap();
    let (_router, stage) = router([&one]);
    let anna = stateless_as("anna");
    asks(&one, opaque(&"x".repeat((64 << 10) + 1)));
    let refused = refusal(&stage, call(&anna, r#"{"name":"one__t"}"#)).await;
    assert_eq!(
        *refused.kind(),
        ErrorKind::BackendMisbehaved(name.clone()),
        "{refused}"
    );
    asks(&one, None);
    let params = r#"{"ref":{"type":"ref/resource","uri":"x:"},"argument":{"name":"a","value":""}}"#;
    let refused = refusal(&stage, request(&anna, Method::CompletionComplete, params)).await;
    assert_eq!(*refused.kind(), ErrorKind::BackendMisbehaved(name));
}

#[tokio::test(start_paused = true)]
async fn a_state_with_a_method_that_knows_none_is_ignored() {
    let one = Scripted::ready("one", &[(RESOURCE, "x:", "")]);
    let retries = Retries::default();
    let noted = retries.clone();
    one.answers(move |request| {
        noted.lock().unwrap().push(request.retry);
        Ok(Reply::complete(RawJson::empty_object()))
    });
    let (_router, stage) = router([&one]);
    let params = r#"{"ref":{"type":"ref/resource","uri":"x:"},"argument":{"name":"a","value":""}}"#;
    let complete = request(&stateless_as("anna"), Method::CompletionComplete, params);
    outcome(&stage, retry(&complete, Some("made up")))
        .await
        .unwrap();
    assert!(retries.lock().unwrap()[0].is_none());
}

#[tokio::test(start_paused = true)]
async fn an_error_to_a_retry_is_as_good_as_one_to_a_first_request() {
    let one = Scripted::ready("one", &[(RESOURCE, "x:", "")]);
    let two = Scripted::ready("two", &[(RESOURCE, "x:", "")]);
    asks(&two, opaque("inner"));
    let (_router, stage) = router([&one, &two]);
    let anna = stateless_as("anna");
    let read = request(&anna, Method::ResourcesRead, r#"{"uri":"two+x:"}"#);
    let (_, state) = asked(&stage, read.clone()).await;
    let name = BackendName::parse("two").unwrap();
    two.answers(move |_| {
        let error = JsonRpcError::new(-32002, "gone").with_data(&json(r#"{"uri":"x:"}"#));
        Err(Error::answered(name.clone(), error))
    });
    let refused = refusal(&stage, retry(&read, Some(&state))).await;
    let ErrorKind::Answered { error, .. } = refused.kind() else {
        panic!("{refused:?}");
    };
    let data = error.data.as_ref().map(RawJson::as_str);
    assert_eq!(data, Some(r#"{"uri":"two+x:"}"#));
}
