//! The thread that writes lines, and puts the file aside when it has grown.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use isthmus_config::{AuditSink, WhenFull};
use tokio::sync::mpsc;

use super::log::Health;

/// Writes until everybody who could hand in a line has gone.
pub(super) struct Writer {
    sink: Sink,
    when_full: WhenFull,
    health: Arc<Health>,
}

enum Sink {
    Stdout(io::Stdout),
    File(Rotating),
}

/// A file that is put aside when it has grown.
struct Rotating {
    path: PathBuf,
    size: u64,
    keep: u32,
    file: BufWriter<File>,
    written: u64,
}

impl Writer {
    pub(super) fn open(
        sink: &AuditSink,
        when_full: WhenFull,
        health: Arc<Health>,
    ) -> io::Result<Self> {
        let sink = match sink {
            AuditSink::Stdout => Sink::Stdout(io::stdout()),
            AuditSink::File { path, size, keep } => Sink::File(Rotating::open(path, *size, *keep)?),
        };
        Ok(Self {
            sink,
            when_full,
            health,
        })
    }

    pub(super) fn run(mut self, mut lines: mpsc::Receiver<String>) {
        while let Some(line) = lines.blocking_recv() {
            self.write(&line);
            while let Ok(line) = lines.try_recv() {
                self.write(&line);
            }
            self.flush();
        }
        self.flush();
    }

    /// Writes one line; where none may be missing, tries until it is written.
    fn write(&mut self, line: &str) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.sink.write(line) {
                Ok(()) => return self.works(),
                Err(error) => self.fails(&error),
            }
            let give_up = self.health.ending.load(Ordering::Relaxed);
            if self.when_full == WhenFull::Drop || give_up {
                self.health.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            rest(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn flush(&mut self) {
        if let Err(error) = self.sink.flush() {
            self.fails(&error);
        }
    }

    fn works(&self) {
        if self.health.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the audit log can be written again");
        }
    }

    fn fails(&self, error: &io::Error) {
        if !self.health.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}

impl Sink {
    fn write(&mut self, line: &str) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.lock().write_all(line.as_bytes()),
            Self::File(file) => file.write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(file) => file.file.flush(),
        }
    }
}

impl Rotating {
    fn open(path: &Path, size: u64, keep: u32) -> io::Result<Self> {
        let file = open(path)?;
        let written = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            size,
            keep,
            file: BufWriter::with_capacity(BUFFER, file),
            written,
        })
    }

    /// A line is whole or not there: what does not fit into the buffer any more is written before it goes in, and if that
    /// fails, the line is not begun.
    fn write(&mut self, line: &str) -> io::Result<()> {
        let length = line.len() as u64;
        if self.written > 0 && self.written + length > self.size {
            self.put_aside()?;
        }
        if self.file.buffer().len() + line.len() > BUFFER {
            self.file.flush()?;
        }
        self.file.write_all(line.as_bytes())?;
        self.written += length;
        Ok(())
    }

    fn put_aside(&mut self) -> io::Result<()> {
        self.file.flush()?;
        if self.keep == 0 {
            self.file.get_ref().set_len(0)?;
            self.written = 0;
            return Ok(());
        }
        for number in (1..self.keep).rev() {
            let (from, to) = (self.numbered(number), self.numbered(number + 1));
            match std::fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, self.numbered(1))?;
        self.file = BufWriter::with_capacity(BUFFER, open(&self.path)?);
        self.written = 0;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

/// Appends, so that lines of two programs do not overwrite each other. Nobody else may read it.
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the thread is the log's own and has nothing else to do"
)]
fn rest(pause: Duration) {
    thread::sleep(pause);
}

const BUFFER: usize = 64 << 10;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_grown_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut file = Rotating::open(&path, 11, 2).unwrap();
        for line in [
            "one\n",
            "two\n",
            "three\n",
            "four\n",
            "a-long-line\n",
            "six\n",
        ] {
            file.write(line).unwrap();
        }
        file.file.flush().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("audit.jsonl"), "six\n");
        assert_eq!(read("audit.jsonl.1"), "a-long-line\n");
        assert_eq!(read("audit.jsonl.2"), "three\nfour\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_file_goes_on_where_it_was_and_is_nobody_elses_to_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in/audit.jsonl");
        for line in ["one\n", "two\n"] {
            let mut file = Rotating::open(&path, 1000, 1).unwrap();
            file.write(line).unwrap();
            file.file.flush().unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
