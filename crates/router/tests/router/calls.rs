//! Requests that one backend answers.

use std::sync::Arc;

use isthmus_exchange::{Error, ErrorKind, Event, Progress, Reply, Step};
use isthmus_protocol::{JsonRpcError, Method, RawJson};

use crate::scripted::Scripted;
use crate::{
    PROMPT, RESOURCE, TEMPLATE, TOOL, ask, ask_as, json, request, router, session, settle,
    stateless,
};

fn answers_with(backend: &Arc<Scripted>, result: &'static str) {
    backend.answers(move |_| Ok(Reply::complete(json(result))));
}

#[tokio::test(start_paused = true)]
async fn a_call_reaches_its_backend_in_native_names_and_otherwise_as_it_was() {
    let files = Scripted::ready("files", &[(TOOL, "read.all", ""), (PROMPT, "ask", "")]);
    let mail = Scripted::ready("mail", &[(TOOL, "send", "")]);
    let (router, stage) = router([&files, &mail]);
    router.wait_ready().await;
    let exposed = &router
        .catalog(&isthmus_exchange::RouteName::new("/mcp"))
        .unwrap();
    let exposed = exposed.items(TOOL)[0].exposed.clone();
    let params = format!(r#"{{"arguments" : {{"n":1.0e0}},"name":"{exposed}","x":1e400}}"#);
    ask(&stage, Method::ToolsCall, &params).await.unwrap();
    ask(&stage, Method::PromptsGet, r#"{"name":"files__ask"}"#)
        .await
        .unwrap();
    ask(&stage, Method::ToolsCall, r#"{ "name":"send" }"#)
        .await
        .unwrap();
    assert_eq!(
        files.heard(),
        [
            r#"tools/call {"arguments" : {"n":1.0e0},"name":"read.all","x":1e400}"#,
            r#"prompts/get {"name":"ask"}"#
        ]
    );
    assert_eq!(mail.heard(), [r#"tools/call { "name":"send" }"#]);
}

#[tokio::test(start_paused = true)]
async fn what_leads_nowhere_is_refused_in_words() {
    let one = Scripted::ready("one", &[(TOOL, "x", "")]);
    let two = Scripted::ready("two", &[(TOOL, "x", "")]);
    let (_router, stage) = router([&one, &two]);
    let check = async |method, params: &str, expected: &str| {
        let error = ask(&stage, method, params).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidParams, "{params}");
        assert_eq!(error.message(), expected);
    };
    check(Method::ToolsCall, r#"{"name":"y"}"#, "unknown tool: y").await;
    check(Method::PromptsGet, r#"{"name":"x"}"#, "unknown prompt: x").await;
    check(Method::ToolsCall, "{}", "`name` is missing or not valid").await;
    let several = "several backends have a tool called `x`: use the name from the list";
    check(Method::ToolsCall, r#"{"name":"x"}"#, several).await;
    let nobodys = "no resource or resource template `x:`";
    check(
        Method::CompletionComplete,
        r#"{"ref":{"uri":"x:"}}"#,
        nobodys,
    )
    .await;
    let error = ask(&stage, Method::ResourcesRead, r#"{"uri":"x:"}"#)
        .await
        .unwrap_err();
    assert_eq!(
        *error.kind(),
        ErrorKind::ResourceNotFound {
            uri: "x:".to_owned()
        }
    );
    for method in ["tasks/get", "nonsense"] {
        let error = ask(&stage, Method::parse(method), "{}").await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::MethodNotFound);
    }
    assert!(one.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_backend_that_is_starting_waits_for_it() {
    let files = Scripted::starting("files", &[(TOOL, "read", "")]);
    let (_router, stage) = router([&files]);
    let call =
        tokio::spawn(
            async move { ask(&stage, Method::ToolsCall, r#"{"name":"files__read"}"#).await },
        );
    settle().await;
    files.come_up();
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_resource_is_read_by_its_raw_and_its_prefixed_uri_and_answered_in_the_same_form() {
    let one = Scripted::ready("one", &[(RESOURCE, "x:/a", "")]);
    let two = Scripted::ready("two", &[(RESOURCE, "x:/a", ""), (TEMPLATE, "y:/{p}", "")]);
    answers_with(&one, r#"{"contents":[{"uri":"x:/a","text":"one"}]}"#);
    answers_with(
        &two,
        r#"{"contents":[{"uri":"x:/a","text":"two x:/a"},{"uri":"y:/b"}]}"#,
    );
    let (_router, stage) = router([&one, &two]);
    let check = async |uri: &str, expected: &str| {
        let read = ask(
            &stage,
            Method::ResourcesRead,
            &format!(r#"{{"uri":"{uri}"}}"#),
        )
        .await;
        assert_eq!(read.unwrap().as_str(), expected);
    };
    check("x:/a", r#"{"contents":[{"uri":"x:/a","text":"one"}]}"#).await;
    check(
        "one+x:/a",
        r#"{"contents":[{"uri":"one+x:/a","text":"one"}]}"#,
    )
    .await;
    check(
        "two+x:/a",
        r#"{"contents":[{"uri":"two+x:/a","text":"two x:/a"},{"uri":"y:/b"}]}"#,
    )
    .await;
    check(
        "y:/c",
        r#"{"contents":[{"uri":"two+x:/a","text":"two x:/a"},{"uri":"y:/b"}]}"#,
    )
    .await;
    assert_eq!(one.heard(), [r#"resources/read {"uri":"x:/a"}"#; 2]);
    assert_eq!(
        two.heard(),
        [
            r#"resources/read {"uri":"x:/a"}"#,
            r#"resources/read {"uri":"y:/c"}"#
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_link_in_a_result_can_be_followed_by_whom_it_was_given_to() {
    let one = Scripted::ready("one", &[(TOOL, "make", ""), (RESOURCE, "x:/listed", "")]);
    let two = Scripted::ready("two", &[(TOOL, "make", "")]);
    let links = r#"{"content":[{"type":"resource_link","uri":"new:/1"},{"type":"resource_link","uri":"x:/listed"}]}"#;
    answers_with(&one, links);
    answers_with(&two, links);
    let (_router, stage) = router([&one, &two]);
    let (anna, berta) = (session(1), session(2));
    let made = ask_as(&anna, &stage, Method::ToolsCall, r#"{"name":"one__make"}"#).await;
    assert_eq!(made.unwrap().as_str(), links);
    // The same text from another backend must not lead to the first.
    let made = ask_as(&anna, &stage, Method::ToolsCall, r#"{"name":"two__make"}"#).await;
    assert_eq!(
        made.unwrap().as_str(),
        r#"{"content":[{"type":"resource_link","uri":"two+new:/1"},{"type":"resource_link","uri":"two+x:/listed"}]}"#
    );
    one.heard();
    two.heard();
    for uri in ["new:/1", "two+new:/1"] {
        let params = format!(r#"{{"uri":"{uri}"}}"#);
        ask_as(&anna, &stage, Method::ResourcesRead, &params)
            .await
            .unwrap();
    }
    assert_eq!(one.heard(), [r#"resources/read {"uri":"new:/1"}"#]);
    assert_eq!(two.heard(), [r#"resources/read {"uri":"new:/1"}"#]);
    let other = ask_as(&berta, &stage, Method::ResourcesRead, r#"{"uri":"new:/1"}"#).await;
    assert!(matches!(
        other.unwrap_err().kind(),
        ErrorKind::ResourceNotFound { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn results_in_which_nothing_changes_keep_their_bytes() {
    let text = r#"{ "content":[{"type":"text","text":"see x:/a"}],"structuredContent":{"uri":"x:/a", "n":1.0} }"#;
    let one = Scripted::ready("one", &[(TOOL, "t", "")]);
    let two = Scripted::ready("two", &[(RESOURCE, "x:/a", "")]);
    let result = json(text);
    let given = result.clone();
    one.answers(move |_| Ok(Reply::complete(given.clone())));
    let (_router, stage) = router([&one, &two]);
    let got = ask(&stage, Method::ToolsCall, r#"{"name":"one__t"}"#)
        .await
        .unwrap();
    assert_eq!(got.as_bytes().as_ptr(), result.as_bytes().as_ptr());
}

#[tokio::test(start_paused = true)]
async fn completions_are_asked_of_the_backend_of_the_prompt_or_template() {
    let one = Scripted::ready("one", &[(PROMPT, "p", ""), (TEMPLATE, "x:/{a}", "")]);
    let two = Scripted::ready("two", &[(PROMPT, "p", ""), (TEMPLATE, "x:/{a}", "")]);
    let mute = Scripted::ready("mute", &[(PROMPT, "p", "")]);
    let mut listing = crate::scripted::listing(&[(PROMPT, "p", "")]);
    listing.facts.capabilities = json(r#"{"prompts":{}}"#);
    mute.lists_all(listing);
    let (_router, stage) = router([&one, &two, &mute]);
    let ask = async |reference: &str| {
        let params = format!(r#"{{"argument":{{"name":"a","value":""}},"ref":{reference}}}"#);
        ask(&stage, Method::CompletionComplete, &params)
            .await
            .unwrap()
    };
    ask(r#"{"type":"ref/prompt","name":"two__p"}"#).await;
    ask(r#"{"type":"ref/resource","uri":"two+x:/{a}"}"#).await;
    ask(r#"{"type":"ref/resource","uri":"x:/{a}"}"#).await;
    let nothing = ask(r#"{"type":"ref/prompt","name":"mute__p"}"#).await;
    assert_eq!(nothing.as_str(), r#"{"completion":{"values":[]}}"#);
    let heard = |argument: &str| {
        format!(r#"completion/complete {{"argument":{{"name":"a","value":""}},"ref":{argument}}}"#)
    };
    assert_eq!(
        two.heard(),
        [
            heard(r#"{"type":"ref/prompt","name":"p"}"#),
            heard(r#"{"type":"ref/resource","uri":"x:/{a}"}"#)
        ]
    );
    assert_eq!(
        one.heard(),
        [heard(r#"{"type":"ref/resource","uri":"x:/{a}"}"#)]
    );
    assert!(mute.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn events_come_through_and_dropping_the_reply_drops_the_backends() {
    let files = Scripted::ready("files", &[(TOOL, "slow", "")]);
    let other = Scripted::ready("other", &[]);
    let running = Arc::new(());
    let watch = Arc::downgrade(&running);
    let running = std::sync::Mutex::new(Some(running));
    files.answers(move |_| {
        let running = running.lock().unwrap().take();
        let progress = Step::Event(Event::Progress(Progress {
            params: json(r#"{"progress":1}"#),
        }));
        let first = futures_util::stream::iter([progress]);
        let rest = futures_util::stream::once(async move {
            let _held = running;
            std::future::pending::<Step>().await
        });
        Ok(Reply::running(futures_util::StreamExt::chain(first, rest)))
    });
    let (_router, stage) = router([&files, &other]);
    let call = request(&stateless(), Method::ToolsCall, r#"{"name":"files__slow"}"#);
    let mut reply = stage.run(call).await.unwrap();
    assert!(matches!(
        reply.next().await,
        Step::Event(Event::Progress(_))
    ));
    assert!(watch.upgrade().is_some());
    drop(reply);
    assert!(watch.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_error_that_repeats_the_uri_repeats_it_as_the_caller_wrote_it() {
    let one = Scripted::ready("one", &[(RESOURCE, "x:/a", "")]);
    let two = Scripted::ready("two", &[(RESOURCE, "x:/a", "")]);
    let name = isthmus_exchange::BackendName::parse("two").unwrap();
    two.answers(move |_| {
        let error = JsonRpcError::new(-32002, "gone").with_data(&json(r#"{"uri":"x:/a","n":1.0}"#));
        Err(Error::answered(name.clone(), error))
    });
    let (_router, stage) = router([&one, &two]);
    let error = ask(&stage, Method::ResourcesRead, r#"{"uri":"two+x:/a"}"#)
        .await
        .unwrap_err();
    let ErrorKind::Answered { error, .. } = error.kind() else {
        panic!("{error:?}");
    };
    let data = error.data.as_ref().map(RawJson::as_str);
    assert_eq!(data, Some(r#"{"uri":"two+x:/a","n":1.0}"#));
}
