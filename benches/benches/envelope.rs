//! What the gateway does with the text of one `tools/call` on its way in and back out, without any network.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use isthmus_protocol::params::{SplitParams, TraceStamp, stamp_stateful};
use isthmus_protocol::result::{SplitResult, stamp_result_stateless};
use isthmus_protocol::visit::rewrite_result;
use isthmus_protocol::{
    Id, Message, Method, RawJson, message::write_request, message::write_result, parse_message,
};

/// A stateless client's call to a stateful backend: the way with the most to take off and put on.
fn request(criterion: &mut Criterion) {
    let text = Bytes::from_static(REQUEST.as_bytes());
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| parse_message(black_box(&text)).unwrap());
    });
    group.bench_function("parse, split, stamp, write", |bencher| {
        bencher.iter(|| {
            let Ok(Message::Request { method, params, .. }) = parse_message(black_box(&text))
            else {
                panic!("it is a request");
            };
            let split = SplitParams::parse(&method, params.as_ref()).unwrap();
            let stamped = stamp_stateful(&split.params, None, TraceStamp::default());
            write_request(&Id::number(1), &method, &stamped)
        });
    });
}

/// The way back, with a result of ordinary and of large size.
fn response(criterion: &mut Criterion) {
    let server_info = RawJson::parse(r#"{"name":"isthmus","version":"1"}"#).unwrap();
    for size in [1_500, 100_000] {
        let text = Bytes::from(response_text(size));
        let mut group = criterion.benchmark_group(format!("response of {size} bytes"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("parse, split, visit, stamp, write", |bencher| {
            bencher.iter_batched(
                || text.clone(),
                |text| {
                    let Ok(Message::Response {
                        outcome: Ok(result),
                        ..
                    }) = parse_message(&text)
                    else {
                        panic!("it is a response");
                    };
                    let split = SplitResult::parse(&result).unwrap();
                    let visited = rewrite_result(&Method::ToolsCall, &split.result, &|_, _| None);
                    let stamped =
                        stamp_result_stateless(&visited, "complete", None, &server_info, None);
                    write_result(&Id::number(1), &stamped)
                },
                BatchSize::SmallInput,
            );
        });
    }
}

/// Text with JSON in it, full of escapes, as most results of tools are.
fn response_text(size: usize) -> String {
    let mut inner = String::new();
    while inner.len() < size {
        inner += r#"{\"row\":7,\"name\":\"item\",\"price\":19.50},"#;
    }
    format!(
        r#"{{"jsonrpc":"2.0","id":17,"result":{{"content":[{{"type":"text","text":"{inner}"}}]}}}}"#
    )
}

const REQUEST: &str = concat!(
    r#"{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"name":"issues__search","#,
    r#""arguments":{"query":"open bugs","labels":["urgent","customer"],"limit":20},"#,
    r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientCapabilities":{},"#,
    r#""io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}}}}"#,
);

criterion_group! {
    name = envelope;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = request, response
}
criterion_main!(envelope);
