//! Who descends from whom, read from `/proc`.
//!
//! One scan of every `stat` file is enough and needs no kernel option (`/proc/PID/task/TID/children` does). It is done
//! only while something is being ended. A process id may in theory be given to a stranger between the scan and a
//! signal; a descendant of a subreaper is not reaped by anyone but its own parent, so the window is a few microseconds.

use std::collections::HashMap;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// One line of `/proc/PID/stat`, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    id: i32,
    parent: i32,
    session: i32,
}

/// Every process that descends from `ancestor`, zombies included, itself excluded.
pub(crate) fn descendants(ancestor: Pid) -> Vec<Pid> {
    descendants_among(&scan(), ancestor.as_raw_nonzero().get())
}

/// Every process whose session is led (or was led) by `leader`.
pub(crate) fn members_of_session(leader: Pid) -> Vec<Pid> {
    scan()
        .into_iter()
        .filter(|entry| entry.session == leader.as_raw_nonzero().get())
        .filter_map(|entry| Pid::from_raw(entry.id))
        .collect()
}

/// Sends `signal`; a process that is already gone is as good as signalled.
pub(crate) fn signal(process: Pid, signal: Signal) {
    let _ = kill_process(process, signal);
}

fn descendants_among(entries: &[Entry], ancestor: i32) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in entries {
        children.entry(entry.parent).or_default().push(entry.id);
    }
    let mut found = Vec::new();
    let mut open = vec![ancestor];
    while let Some(parent) = open.pop() {
        // Taking the list out makes a loop in a torn scan harmless.
        for id in children.remove(&parent).unwrap_or_default() {
            open.push(id);
            found.extend(Pid::from_raw(id));
        }
    }
    found
}

fn scan() -> Vec<Entry> {
    let Ok(directory) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    directory
        .filter_map(Result::ok)
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        // A process may end between the listing and the reading.
        .filter_map(|entry| fs::read(entry.path().join("stat")).ok())
        .filter_map(|stat| parse(&stat))
        .collect()
}

/// Reads `PID (command) state ppid pgrp session …`. The command may contain anything, parentheses included.
fn parse(stat: &[u8]) -> Option<Entry> {
    let end_of_command = stat.iter().rposition(|byte| *byte == b')')?;
    let id = str::from_utf8(stat.split(|byte| *byte == b' ').next()?).ok()?;
    let rest = str::from_utf8(stat.get(end_of_command + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace().skip(1);
    let parent = fields.next()?;
    let session = fields.nth(1)?;
    Some(Entry {
        id: id.parse().ok()?,
        parent: parent.parse().ok()?,
        session: session.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_spaces_and_parentheses_does_not_confuse_the_reader() {
        let entry = parse(b"42 (a) R 1 (b)) S 7 42 40 0 -1").unwrap();
        assert_eq!(
            entry,
            Entry {
                id: 42,
                parent: 7,
                session: 40
            }
        );
    }

    #[test]
    fn descendants_of_descendants_are_found_and_strangers_are_not() {
        let entry = |id, parent| Entry {
            id,
            parent,
            session: 0,
        };
        let entries = [
            entry(5, 4),
            entry(2, 1),
            entry(4, 2),
            entry(3, 1),
            entry(9, 8),
        ];
        let mut found: Vec<i32> = descendants_among(&entries, 2)
            .into_iter()
            .map(|id| id.as_raw_nonzero().get())
            .collect();
        found.sort_unstable();
        assert_eq!(found, [4, 5]);
    }

    #[test]
    fn this_process_is_found_among_the_descendants_of_its_parent() {
        let parent = rustix::process::getppid().unwrap();
        assert!(descendants(parent).contains(&rustix::process::getpid()));
    }
}
