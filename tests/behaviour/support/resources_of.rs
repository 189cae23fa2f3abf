//! What a gateway's process holds, as the kernel sees it: descriptors, children, memory.

use std::time::Duration;

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub descriptors: usize,
    pub children: usize,
    pub threads: usize,
    pub memory_kib: usize,
}

impl Held {
    /// What the process holds now.
    pub fn by(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let number = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Self {
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))
                .unwrap()
                .count(),
            children: children_of(pid),
            threads: number("Threads:"),
            memory_kib: number("VmRSS:"),
        }
    }

    /// Whether nothing of this is more than in `before`; memory may grow by `memory_kib`.
    fn fits(&self, before: &Self, memory_kib: usize) -> bool {
        self.descriptors <= before.descriptors
            && self.children <= before.children
            && self.threads <= before.threads
            && self.memory_kib <= before.memory_kib + memory_kib
    }
}

/// Waits until the process holds no more than it did at `before`, but for `memory_kib` that an allocator may keep.
pub async fn back_at(pid: u32, before: Held, memory_kib: usize) {
    let mut now = Held::by(pid);
    for _ in 0..2000 {
        if now.fits(&before, memory_kib) {
            return;
        }
        // The kernel tells nobody that a process let something go.
        tokio::time::sleep(Duration::from_millis(10)).await;
        now = Held::by(pid);
    }
    panic!("still held: {now:?}, before: {before:?}");
}

/// All processes below this one, at any depth.
fn children_of(pid: u32) -> usize {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|child| Some((child, parent_of(child)?)))
        .collect();
    let mut known = vec![pid];
    let mut at = 0;
    while at < known.len() {
        let below = parents.iter().filter(|(_, parent)| *parent == known[at]);
        let below: Vec<u32> = below.map(|(child, _)| *child).collect();
        known.extend(below);
        at += 1;
    }
    known.len() - 1
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.rsplit(')').next()?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    // One that only waits to be collected holds nothing.
    (state != "Z").then_some(())?;
    fields.next()?.parse().ok()
}
