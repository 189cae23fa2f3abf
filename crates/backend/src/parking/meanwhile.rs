//! What a backend says while nobody is there to hear it, for whoever comes next.

use std::collections::VecDeque;

use isthmus_exchange::{Event, LogRecord, Progress};

/// The newest progress and the last log messages.
#[derive(Debug, Default)]
pub(super) struct Meanwhile {
    progress: Option<Progress>,
    logs: VecDeque<LogRecord>,
    bytes: usize,
}

impl Meanwhile {
    /// Keeps the event if it is of a kind that is kept; the oldest go when there are too many.
    pub(super) fn keep(&mut self, event: Event) {
        match event {
            Event::Progress(progress) if progress.params.len() <= MOST_BYTES => {
                self.progress = Some(progress);
            }
            Event::Log(record) if record.params.len() <= MOST_BYTES => {
                self.bytes += record.params.len();
                self.logs.push_back(record);
                while self.logs.len() > MOST_LOGS || self.bytes > MOST_BYTES {
                    let oldest = self.logs.pop_front();
                    self.bytes -= oldest.map_or(0, |record| record.params.len());
                }
            }
            _ => {}
        }
    }

    /// Everything, in order; nothing is left.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Event> + use<> {
        let Self { progress, logs, .. } = std::mem::take(self);
        let logs = logs.into_iter().map(Event::Log);
        logs.chain(progress.map(Event::Progress))
    }
}

const MOST_LOGS: usize = 32;
const MOST_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use isthmus_protocol::{LogLevel, RawJson};

    use super::*;

    #[test]
    fn the_newest_progress_and_the_last_messages_are_kept() {
        let mut meanwhile = Meanwhile::default();
        let number = |number: usize| RawJson::from_serialize(&number);
        for at in 0..100 {
            meanwhile.keep(Event::Progress(Progress { params: number(at) }));
            meanwhile.keep(Event::Log(LogRecord {
                level: LogLevel::Info,
                params: number(at),
            }));
        }
        let kept: Vec<Event> = meanwhile.take().collect();
        assert_eq!(kept.len(), MOST_LOGS + 1);
        assert!(matches!(&kept[0], Event::Log(record) if record.params == number(68)));
        assert!(matches!(&kept[32], Event::Progress(progress) if progress.params == number(99)));
        assert_eq!(meanwhile.take().count(), 0);
    }

    #[test]
    fn large_messages_push_out_older_ones_and_do_not_pile_up() {
        let mut meanwhile = Meanwhile::default();
        for _ in 0..10 {
            meanwhile.keep(Event::Log(LogRecord {
                level: LogLevel::Info,
                params: RawJson::string(&"x".repeat(MOST_BYTES / 2)),
            }));
        }
        assert_eq!(meanwhile.take().count(), 1);
    }
}
