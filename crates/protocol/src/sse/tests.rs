use proptest::prelude::*;

use super::*;

fn decode(pieces: &[&[u8]]) -> Vec<SseEvent> {
    let mut decoder = SseDecoder::new(1000);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event() {
            events.push(event.unwrap());
        }
    }
    events
}

fn event(data: &str) -> SseEvent {
    SseEvent {
        data: Bytes::copy_from_slice(data.as_bytes()),
        ..SseEvent::default()
    }
}

#[test]
fn fields_are_read_as_the_standard_says() {
    let stream = ": comment\nevent: add\nid: 7\nretry: 1500\ndata: a\ndata:b\ndata:  c\ndata\nunknown: x\n\n";
    assert_eq!(
        decode(&[stream.as_bytes()]),
        [SseEvent {
            event: Some("add".to_owned()),
            id: Some("7".to_owned()),
            retry: Some(Duration::from_millis(1500)),
            ..event("a\nb\n c\n")
        }]
    );
}

#[test]
fn every_line_end_is_one() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = "data: a\n\ndata: b\ndata: c\n\n".replace('\n', end);
        assert_eq!(
            decode(&[stream.as_bytes()]),
            [event("a"), event("b\nc")],
            "{end:?}"
        );
    }
}

#[test]
fn an_event_is_given_as_soon_as_its_last_line_end_is_there() {
    assert_eq!(decode(&[b"data: a\r\r"]), [event("a")]);
    assert_eq!(decode(&[b"data: a\r\n\r"]), [event("a")]);
    assert_eq!(
        decode(&[b"data: a\r", b"\n\r", b"\ndata: b\n\n"]),
        [event("a"), event("b")]
    );
}

#[test]
fn a_byte_order_mark_may_stand_at_the_start_only() {
    assert_eq!(
        decode(&[b"\xef", b"\xbb", b"\xbfdata: a\n\n"]),
        [event("a")]
    );
    assert_eq!(
        decode(&[b"data: a\n\n\xef\xbb\xbfdata: b\n\n"]),
        [event("a")]
    );
}

#[test]
fn priming_events_and_lone_retries_are_reported() {
    let primed = SseEvent {
        id: Some("1".to_owned()),
        ..SseEvent::default()
    };
    assert_eq!(
        decode(&[b"id: 1\ndata:\n\nid: 1\n\n"]),
        [primed.clone(), primed]
    );
    let retry = SseEvent {
        retry: Some(Duration::from_secs(2)),
        ..SseEvent::default()
    };
    assert_eq!(decode(&[&encode_retry(Duration::from_secs(2))]), [retry]);
    assert_eq!(decode(&[b"\n\n:\n\n", &KEEP_ALIVE]), []);
}

#[test]
fn odd_ids_and_retries_are_ignored() {
    assert_eq!(
        decode(&[b"id: a\0b\nretry: 1x\nretry:\ndata: a\n\n"]),
        [event("a")]
    );
    assert_eq!(
        decode(&[b"retry: 99999999999999999999999\ndata: a\n\n"]),
        [event("a")]
    );
    assert_eq!(
        decode(&[b"id\nevent:\ndata: a\n\n"]),
        [SseEvent {
            id: Some(String::new()),
            ..event("a")
        }]
    );
}

#[test]
fn an_event_that_was_not_ended_is_not_reported() {
    assert_eq!(decode(&[b"data: a\n\ndata: b\n"]), [event("a")]);
}

#[test]
fn what_is_too_long_is_refused_once_and_nothing_follows() {
    for stream in [
        "data: ".to_owned() + &"x".repeat(2000),
        ":".repeat(2000),
        "data: 123456789\n".repeat(200),
    ] {
        let mut decoder = SseDecoder::new(1000);
        decoder.push(stream.into());
        assert_eq!(
            decoder.next_event(),
            Some(Err(SseError::TooLong { limit: 1000 }))
        );
        decoder.push(Bytes::from_static(b"\n\ndata: a\n\n"));
        assert_eq!(decoder.next_event(), None);
    }
    let mut decoder = SseDecoder::new(10);
    for _ in 0..100 {
        decoder.push(Bytes::from_static(b"data: 1\n\n: more\n\n"));
        assert_eq!(decoder.next_event(), Some(Ok(event("1"))));
        assert_eq!(decoder.next_event(), None);
    }
}

#[test]
fn a_single_data_line_shares_the_memory_of_its_piece() {
    let piece = Bytes::from(b"data: {\"a\":1}\n\n".to_vec());
    let range = piece.as_ptr_range();
    let mut decoder = SseDecoder::new(1000);
    decoder.push(piece);
    let event = decoder.next_event().unwrap().unwrap();
    assert!(range.contains(&event.data.as_ptr()));
}

proptest! {
    #[test]
    fn events_do_not_depend_on_where_the_stream_was_cut(
        stream in "(\u{feff})?([\r\n:a]|data:|data: |id: 1|event: e|retry: 5|\r\n){0,30}",
        cuts in prop::collection::vec(0..100_usize, 0..8),
    ) {
        let whole = decode(&[stream.as_bytes()]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts.into_iter().chain([stream.len()]) {
            pieces.push(&stream.as_bytes()[start..cut]);
            start = cut;
        }
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        prop_assert_eq!(decode(&bytes), decode(&pieces));
        prop_assert_eq!(decode(&pieces), whole);

    }

    #[test]
    fn what_is_written_reads_back(name in "[a-z]{1,8}", id in prop::option::of("[ -~]{0,8}"), data in "[a-z\n\u{e9}:]{0,40}") {
        let text = encode_event(Some(&name), id.as_deref(), data.as_bytes());
        let expected = SseEvent { event: Some(name), id, ..event(&data) };
        prop_assert_eq!(decode(&[&text]), [expected]);
    }
}
