use std::sync::atomic::AtomicUsize;

use super::*;

fn log_with(limit: usize) -> Arc<EventLog> {
    let total = Arc::new(AtomicUsize::new(0));
    EventLog::new(1, Arc::new(ReplayBudget::new(limit, total, 1 << 20)))
}

fn message(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn rest(mut reader: EventReader) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    while let Some(event) = reader.next().await {
        let text = String::from_utf8(event.message.to_vec()).unwrap();
        seen.push((event.sequence, text));
    }
    seen
}

#[tokio::test]
async fn a_reader_gets_everything_in_order_and_then_the_end() {
    let log = log_with(100);
    let reader = log.read_from(0);
    log.write(message("a")).await;
    log.write(message("b")).await;
    log.close(Some(message("c")));
    let seen = rest(reader).await;
    assert_eq!(seen, [(1, "a".into()), (2, "b".into()), (3, "c".into())]);
}

#[tokio::test]
async fn a_kept_log_is_read_again_from_where_the_stream_broke() {
    let log = log_with(100);
    log.keep();
    let mut first = log.read_from(0);
    log.write(message("a")).await;
    log.write(message("b")).await;
    assert_eq!(first.next().await.unwrap().sequence, 1);
    assert_eq!(first.next().await.unwrap().sequence, 2);
    drop(first);
    assert!(!log.read_from(2).is_at_end());
    log.close(Some(message("c")));
    let seen = rest(log.read_from(1)).await;
    assert_eq!(seen, [(2, "b".into()), (3, "c".into())]);
    assert!(!log.read_from(2).is_at_end());
    assert!(log.read_from(3).is_at_end());
}

#[tokio::test]
async fn what_is_not_kept_goes_with_its_reader() {
    let log = log_with(100);
    let reader = log.read_from(0);
    log.write(message("a")).await;
    drop(reader);
    log.write(message("b")).await;
    assert!(log.is_spent());
    log.close(None);
    assert!(rest(log.read_from(0)).await.is_empty());
}

#[tokio::test]
async fn over_budget_the_oldest_that_was_read_goes_first_and_nothing_unread() {
    let log = log_with(6);
    log.keep();
    let mut reader = log.read_from(0);
    log.write(message("aaaa")).await;
    reader.next().await.unwrap();
    log.write(message("bbbb")).await;
    log.write(message("cccc")).await;
    assert_eq!(reader.next().await.unwrap().message, "bbbb");
    assert_eq!(reader.next().await.unwrap().message, "cccc");
    drop(reader);
    log.close(None);
    assert_eq!(rest(log.read_from(0)).await, [(3, "cccc".into())]);
}

#[tokio::test]
async fn a_newer_reader_takes_over() {
    let log = log_with(100);
    let mut old = log.read_from(0);
    let mut new = log.read_from(0);
    log.write(message("a")).await;
    assert!(old.next().await.is_none());
    drop(old);
    assert_eq!(new.next().await.unwrap().message, "a");
}

#[tokio::test]
async fn a_writer_waits_for_a_reader_that_is_far_behind_and_not_for_one_that_left() {
    let log = log_with(1 << 20);
    let mut reader = log.read_from(0);
    for _ in 0..BACKLOG {
        log.write(message("x")).await;
    }
    let write = || {
        let log = Arc::clone(&log);
        Box::pin(async move { log.write(message("y")).await })
    };
    let mut waiting = write();
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert!(!log.offer(&message("z")));
    reader.next().await.unwrap();
    waiting.await;
    let mut waiting = write();
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(reader);
    waiting.await;
}

#[tokio::test]
async fn an_event_that_was_looked_at_can_be_put_back() {
    let log = log_with(100);
    let mut reader = log.read_from(0);
    log.write(message("a")).await;
    log.close(Some(message("b")));
    let first = reader.next().await.unwrap();
    reader.unread(first);
    assert_eq!(rest(reader).await, [(1, "a".into()), (2, "b".into())]);
}

#[tokio::test]
async fn the_budget_gets_everything_back() {
    let total = Arc::new(AtomicUsize::new(0));
    let budget = Arc::new(ReplayBudget::new(100, Arc::clone(&total), 1000));
    let log = EventLog::new(1, Arc::clone(&budget));
    log.keep();
    let mut reader = log.read_from(0);
    log.write(message("abc")).await;
    let event = reader.next().await.unwrap();
    reader.unread(event);
    assert_eq!(budget.kept(), 3);
    drop((log, reader));
    assert_eq!(budget.kept(), 0);
    assert_eq!(total.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_was_taken_back_is_not_read_again() {
    let log = log_with(1000);
    log.keep();
    let mut reader = log.read_from(0);
    log.write(message("a")).await;
    let question = log.write_question(message("q")).await.unwrap();
    log.write(message("b")).await;
    assert_eq!(reader.next().await.unwrap().message, "a");
    assert!(!log.retract(question), "nobody had read it");
    assert_eq!(reader.next().await.unwrap().message, "b");
    let asked = log.write_question(message("r")).await.unwrap();
    assert_eq!(reader.next().await.unwrap().message, "r");
    assert!(log.retract(asked));
    log.close(Some(message("end")));
    let seen = rest(log.read_from(0)).await;
    assert_eq!(seen, [(1, "a".into()), (3, "b".into()), (5, "end".into())]);
}

#[tokio::test]
async fn messages_that_were_taken_back_hold_no_writer_up() {
    let log = log_with(1000);
    let mut reader = log.read_from(0);
    for _ in 0..BACKLOG {
        let question = log.write_question(message("q")).await.unwrap();
        log.retract(question);
    }
    log.write(message("a")).await;
    assert_eq!(reader.next().await.unwrap().message, "a");
}

#[tokio::test]
async fn a_log_is_lost_when_nobody_reads_it_and_nobody_can_come_back() {
    let log = log_with(1000);
    let reader = log.read_from(0);
    let mut lost = std::pin::pin!(log.lost());
    assert!(futures_util::poll!(lost.as_mut()).is_pending());
    drop(reader);
    lost.await;
    assert_eq!(log.write_question(message("q")).await, None);

    let log = log_with(1000);
    log.keep();
    assert!(log.write_question(message("q")).await.is_some());
    let mut lost = std::pin::pin!(log.lost());
    assert!(futures_util::poll!(lost.as_mut()).is_pending());
    log.close(None);
    lost.await;
}
