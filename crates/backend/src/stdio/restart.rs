//! When something that crashed may be started again.
//!
//! A pure state machine: it is told what happened and when, and answers what to do. Waits double from the first to the
//! longest, with jitter so that backends that fell together do not rise together. Too many crashes in too short a time
//! park it, visibly, until somebody says otherwise (design §5).

use std::collections::VecDeque;
use std::time::Duration;

use isthmus_config::Restart;
use tokio::time::Instant;

/// Decides about restarts of one thing: a child, a connection.
#[derive(Debug)]
pub(crate) struct Supervisor {
    policy: Restart,
    phase: Phase,
    /// When it crashed lately, oldest first; at most `policy.crashes`.
    crashes: VecDeque<Instant>,
    /// Crashes since it last ran well.
    in_a_row: u32,
}

/// Where the supervised thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not running, and nothing speaks against starting it.
    Idle,
    /// Started, not ready yet.
    Starting,
    /// Ready since then.
    Running {
        /// When it became ready.
        since: Instant,
    },
    /// Crashed; to be started again at that time.
    Waiting {
        /// When.
        until: Instant,
    },
    /// Crashed too often; not to be started again.
    Parked {
        /// When it was given up.
        since: Instant,
    },
}

/// What to do after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterCrash {
    /// Start again after this time.
    StartAfter(Duration),
    /// Do not.
    Park,
}

impl Supervisor {
    /// Nothing has been started yet.
    pub(crate) const fn new(policy: Restart) -> Self {
        Self {
            policy,
            phase: Phase::Idle,
            crashes: VecDeque::new(),
            in_a_row: 0,
        }
    }

    /// Where it stands.
    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Crashes within the policy's time before `now`.
    pub(crate) fn recent_crashes(&self, now: Instant) -> usize {
        let counts = |crash: &&Instant| now.duration_since(**crash) <= self.policy.within;
        self.crashes.iter().filter(counts).count()
    }

    /// It is being started.
    pub(crate) fn starting(&mut self) {
        self.phase = Phase::Starting;
    }

    /// It answers.
    pub(crate) fn ready(&mut self, now: Instant) {
        self.phase = Phase::Running { since: now };
    }

    /// It was ended on purpose. Crashes before that still count.
    pub(crate) fn stopped(&mut self) {
        self.phase = Phase::Idle;
    }

    /// It crashed, or failed to start. `chance` is a random number from 0 to 1: the wait is between half of it and the
    /// whole.
    pub(crate) fn crashed(&mut self, now: Instant, chance: f64) -> AfterCrash {
        if let Phase::Running { since } = self.phase
            && now.duration_since(since) >= self.policy.within
        {
            // It ran well for long: this is a new misfortune, not the old one.
            self.in_a_row = 0;
        }
        self.in_a_row += 1;
        self.crashes.push_back(now);
        if self.crashes.len() > self.limit() {
            self.crashes.pop_front();
        }
        if self.recent_crashes(now) >= self.limit() {
            self.phase = Phase::Parked { since: now };
            return AfterCrash::Park;
        }
        let wait = self.wait().mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        self.phase = Phase::Waiting { until: now + wait };
        AfterCrash::StartAfter(wait)
    }

    /// Forgets every crash: a parked thing may be started again.
    pub(crate) fn forgive(&mut self) {
        *self = Self::new(self.policy);
    }

    fn limit(&self) -> usize {
        usize::try_from(self.policy.crashes.max(1)).unwrap_or(usize::MAX)
    }

    fn wait(&self) -> Duration {
        let doublings = self.in_a_row.saturating_sub(1).min(31);
        let wait = self.policy.first.saturating_mul(1 << doublings);
        wait.min(self.policy.longest)
    }
}

/// A random number from 0 to 1 for [`Supervisor::crashed`]; nothing secret hangs on it.
pub(crate) fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or(0);
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Restart {
        Restart {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            crashes: 5,
            within: Duration::from_secs(60),
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut supervisor = Supervisor::new(policy());
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..10 {
            // Far enough apart never to count as a crash loop, and never ready in between.
            now += Duration::from_secs(40);
            supervisor.starting();
            match supervisor.crashed(now, 1.0) {
                AfterCrash::StartAfter(wait) => waits.push(wait.as_millis()),
                AfterCrash::Park => panic!("parked"),
            }
        }
        let expected = [
            500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000,
        ];
        assert_eq!(waits, expected);
    }

    #[test]
    fn jitter_takes_up_to_half_of_a_wait() {
        for (chance, expected) in [(0.0, 250), (0.5, 375), (1.0, 500)] {
            let mut supervisor = Supervisor::new(policy());
            let now = Instant::now();
            let expected = Duration::from_millis(expected);
            assert_eq!(
                supervisor.crashed(now, chance),
                AfterCrash::StartAfter(expected)
            );
            let until = now + expected;
            assert_eq!(supervisor.phase(), Phase::Waiting { until });
        }
        assert!((0.0..=1.0).contains(&chance()));
    }

    #[test]
    fn five_crashes_in_a_minute_park_it_until_it_is_forgiven() {
        let mut supervisor = Supervisor::new(policy());
        let mut now = Instant::now();
        for _ in 0..4 {
            assert!(matches!(
                supervisor.crashed(now, 0.5),
                AfterCrash::StartAfter(_)
            ));
            now += Duration::from_secs(10);
        }
        assert_eq!(supervisor.recent_crashes(now), 4);
        assert_eq!(supervisor.crashed(now, 0.5), AfterCrash::Park);
        assert_eq!(supervisor.phase(), Phase::Parked { since: now });
        supervisor.forgive();
        assert_eq!(supervisor.phase(), Phase::Idle);
        assert_eq!(supervisor.recent_crashes(now), 0);
    }

    #[test]
    fn crashes_that_are_far_apart_never_park_it() {
        let mut supervisor = Supervisor::new(policy());
        let mut now = Instant::now();
        for _ in 0..50 {
            supervisor.ready(now);
            now += Duration::from_secs(16);
            assert!(matches!(
                supervisor.crashed(now, 0.5),
                AfterCrash::StartAfter(_)
            ));
        }
    }

    #[test]
    fn a_long_good_run_makes_the_next_wait_short_again() {
        let mut supervisor = Supervisor::new(policy());
        let mut now = Instant::now();
        for _ in 0..3 {
            supervisor.crashed(now, 1.0);
        }
        supervisor.ready(now);
        now += Duration::from_secs(300);
        let first = AfterCrash::StartAfter(Duration::from_millis(500));
        assert_eq!(supervisor.crashed(now, 1.0), first);
    }
}
