//! Request smuggling: whatever could mean two things to two readers on the way ends the connection.

use super::wire::{exchange, statuses};
use crate::support::Gateway;

/// The request that stands behind each of those below, where a careless reader may take a part of the one before for it.
const LAST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// What stands between `POST /mcp HTTP/1.1` with its host and [`LAST`], and what everything together gets.
const SHAPES: &[(&str, &str, &[u16])] = &[
    (
        "as it should be",
        "Content-Length: 2\r\n\r\n{}",
        &[400, 200],
    ),
    (
        "in pieces, as it should be",
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        &[400, 200],
    ),
    (
        "a length, and pieces",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "pieces, and a length",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "two lengths",
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        &[400],
    ),
    (
        "a list of lengths",
        "Content-Length: 2, 3\r\n\r\n{}",
        &[400],
    ),
    (
        "a length with a sign",
        "Content-Length: +2\r\n\r\n{}",
        &[400],
    ),
    ("a negative length", "Content-Length: -2\r\n\r\n{}", &[400]),
    (
        "a length beyond all bounds",
        "Content-Length: 99999999999999999999\r\n\r\n{}",
        &[400],
    ),
    (
        "an unknown coding",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "pieces that are not the last coding",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "a space before the colon",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "a folded header",
        "X-Folded: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
        &[400],
    ),
    (
        "a carriage return in a value",
        "X-Return: a\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
        &[400],
    ),
    (
        "a zero byte in a value",
        "X-Zero: a\0b\r\nContent-Length: 2\r\n\r\n{}",
        &[400],
    ),
    (
        "a second host",
        "Host: evil.example\r\nContent-Length: 2\r\n\r\n{}",
        &[403, 200],
    ),
];

/// Shapes of the pieces, behind `Transfer-Encoding: chunked`. What a piece cannot be ends the connection.
const PIECES: &[(&str, &str)] = &[
    ("a size with a sign", "+2\r\n{}\r\n0\r\n\r\n"),
    ("a size with a prefix", "0x2\r\n{}\r\n0\r\n\r\n"),
    (
        "a size that overflows",
        "fffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
    ),
    ("a bare line feed behind the size", "2\n{}\r\n0\r\n\r\n"),
    ("a line feed in an extension", "2;a\nb\r\n{}\r\n0\r\n\r\n"),
    ("no end of line behind a piece", "2\r\n{}0\r\n\r\n"),
    ("no size", "\r\n{}\r\n0\r\n\r\n"),
];

#[tokio::test]
async fn no_request_is_read_out_of_another() {
    let gateway = Gateway::start("backends: {}");
    let begin = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
    for (shape, rest, expected) in SHAPES {
        let said = exchange(&gateway, format!("{begin}{rest}{LAST}")).await;
        assert_eq!(statuses(&said), *expected, "{shape}: {said}");
    }
    for (shape, pieces) in PIECES {
        let request = format!("{begin}Transfer-Encoding: chunked\r\n\r\n{pieces}{LAST}");
        let said = exchange(&gateway, request).await;
        assert_eq!(statuses(&said), [400], "{shape}: {said}");
    }
}

#[tokio::test]
async fn pieces_are_of_http_1_1_and_extensions_of_pieces_mean_nothing() {
    let gateway = Gateway::start("backends: {}");
    let old =
        "POST /mcp HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let said = exchange(&gateway, format!("{old}{LAST}")).await;
    assert!(!said.contains(" 200 "), "{said}");
    let begin = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let said = exchange(&gateway, format!("{begin}2;a=b\r\n{{}}\r\n0\r\n\r\n{LAST}")).await;
    assert_eq!(statuses(&said).last(), Some(&200), "{said}");
    // An extension without end is not read without end.
    let long = "a".repeat(1 << 20);
    let said = exchange(
        &gateway,
        format!("{begin}2;{long}\r\n{{}}\r\n0\r\n\r\n{LAST}"),
    )
    .await;
    assert!(!said.contains(" 200 "), "{said}");
}
