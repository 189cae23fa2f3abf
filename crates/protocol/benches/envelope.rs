//! What the envelope of one message costs: reading, taking apart, writing anew.
//!
//! Sizes are those of dependencies.md §5.2: a small call, a text result, a large text result, a large structured one.

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isthmus_protocol::message::{write_request, write_result};
use isthmus_protocol::object::ObjectEdit;
use isthmus_protocol::params::{
    SplitParams, StatelessStamp, TraceStamp, stamp_stateful, stamp_stateless,
};
use isthmus_protocol::result::{SplitResult, stamp_result_stateless};
use isthmus_protocol::visit::rewrite_result;
use isthmus_protocol::{Id, Message, Method, RawJson, Revision, parse_message};

fn call() -> Bytes {
    Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"files__read_text_file","arguments":{"path":"/srv/projects/isthmus/README.md","head":40,"options":{"follow":true,"encoding":"utf-8"},"reason":"look for the section about sessions"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":3}}}"#,
    )
}

/// A result whose one text block holds escaped JSON, the most common kind.
fn text_result(size: usize) -> Bytes {
    let row = r#"{\"id\":12345,\"name\":\"some name\",\"tags\":[\"a\",\"b\"],\"note\":\"plain words go here\"},\n"#;
    let text = row.repeat(size / row.len() + 1);
    let text = &text[..text.len() / row.len() * row.len()];
    format!(r#"{{"jsonrpc":"2.0","id":17,"result":{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}}}}"#).into()
}

fn structured_result(size: usize) -> Bytes {
    let row = r#"{"id":12345,"name":"some name","tags":["a","b"],"ratio":1.25,"nested":{"ok":true,"none":null}},"#;
    let rows = row.repeat(size / row.len() + 1);
    let rows = rows.trim_end_matches(',');
    format!(r#"{{"jsonrpc":"2.0","id":17,"result":{{"content":[],"structuredContent":{{"rows":[{rows}]}}}}}}"#).into()
}

fn requests(criterion: &mut Criterion) {
    let body = call();
    let (empty, info) = (
        RawJson::empty_object(),
        RawJson::parse(&br#"{"name":"isthmus","version":"1"}"#[..]).expect("JSON"),
    );
    let native = RawJson::string("read_text_file");
    let id = Id::number(4711);
    let token = RawJson::string("t1");
    let mut group = criterion.benchmark_group("request 350 B");
    group.bench_function("parse", |bencher| {
        bencher.iter(|| parse_message(black_box(&body)))
    });
    group.bench_function("parse, split", |bencher| {
        bencher.iter(|| split_call(black_box(&body)))
    });
    group.bench_function("parse, split, rename, stamp stateful, write", |bencher| {
        bencher.iter(|| {
            let split = split_call(black_box(&body));
            let params = ObjectEdit::new(&split.params)
                .set("name", native.clone())
                .finish();
            let params = stamp_stateful(&params, Some(&token), TraceStamp::default());
            write_request(&id, &Method::ToolsCall, &params)
        });
    });
    group.bench_function("parse, split, rename, stamp stateless, write", |bencher| {
        bencher.iter(|| {
            let split = split_call(black_box(&body));
            let params = ObjectEdit::new(&split.params)
                .set("name", native.clone())
                .finish();
            let stamp = StatelessStamp {
                revision: Revision::LATEST,
                capabilities: &empty,
                client_info: &info,
                log_level: None,
                progress_token: Some(&token),
                trace: TraceStamp::default(),
            };
            write_request(&id, &Method::ToolsCall, &stamp_stateless(&params, &stamp))
        });
    });
    group.finish();
}

fn results(criterion: &mut Criterion) {
    let info = RawJson::parse(&br#"{"name":"isthmus","version":"1"}"#[..]).expect("JSON");
    let id = Id::number(4711);
    let bodies = [
        ("1.5 KB text", text_result(1_400)),
        ("74 KB text", text_result(74_000)),
        ("100 KB structured", structured_result(100_000)),
    ];
    let mut group = criterion.benchmark_group("result");
    group.measurement_time(Duration::from_secs(3));
    for (name, body) in bodies {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("parse", name), &body, |bencher, body| {
            bencher.iter(|| parse_message(black_box(body)));
        });
        group.bench_with_input(
            BenchmarkId::new("parse, split", name),
            &body,
            |bencher, body| {
                bencher.iter(|| split_result(black_box(body)));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("parse, split, visit, stamp, write", name),
            &body,
            |bencher, body| {
                bencher.iter(|| {
                    let split = split_result(black_box(body));
                    let result = rewrite_result(&Method::ToolsCall, &split.result, &|_, _| None);
                    write_result(
                        &id,
                        &stamp_result_stateless(&result, "complete", None, &info, None),
                    )
                });
            },
        );
    }
    group.finish();
}

fn split_call(body: &Bytes) -> SplitParams {
    match parse_message(body) {
        Ok(Message::Request { method, params, .. }) => {
            SplitParams::parse(&method, params.as_ref()).expect("a call")
        }
        other => panic!("not a request: {other:?}"),
    }
}

fn split_result(body: &Bytes) -> SplitResult {
    match parse_message(body) {
        Ok(Message::Response {
            outcome: Ok(result),
            ..
        }) => SplitResult::parse(&result).expect("an object"),
        other => panic!("not a result: {other:?}"),
    }
}

criterion_group!(benches, requests, results);
criterion_main!(benches);
