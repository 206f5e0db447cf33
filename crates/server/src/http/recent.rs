//! What the last minute of this process was like: a ring of seconds, counted without a lock.

use std::array;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hyper::StatusCode;

/// Seconds that are told of.
const MINUTE: usize = 60;
/// Seconds that are kept: the one that goes on is told of when it is over.
const KEPT: usize = 64;
/// Steps of time: quarters of an octave of microseconds, up to half a minute.
const STEPS: usize = 96;

static RING: LazyLock<Ring> = LazyLock::new(Ring::new);

/// What the last minute was like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Seconds that this tells of.
    pub seconds: u64,
    /// Requests in each of them, the latest last; 60 in all.
    pub by_second: Vec<u32>,
    /// Requests in all.
    pub requests: u64,
    /// Those that were answered with a 5xx.
    pub failed: u64,
    /// Half of them took no longer; `None` when there were none.
    pub median: Option<Duration>,
    /// Of a hundred 99 took no longer.
    pub slowest: Option<Duration>,
}

/// Counts an answer.
pub fn count(ended: Instant, status: StatusCode, elapsed: Duration) {
    RING.count(ended, status, elapsed);
}

/// What the minute before this moment was like.
#[must_use]
pub fn last_minute() -> Recent {
    RING.minute_before(Instant::now())
}

struct Ring {
    began: Instant,
    seconds: [Second; KEPT],
}

struct Second {
    /// Which one it is, counted from 1; 0 is none yet.
    number: AtomicU64,
    failed: AtomicU32,
    by_step: [AtomicU32; STEPS],
}

impl Ring {
    fn new() -> Self {
        let second = |_| Second {
            number: AtomicU64::new(0),
            failed: AtomicU32::new(0),
            by_step: array::from_fn(|_| AtomicU32::new(0)),
        };
        Self { began: Instant::now(), seconds: array::from_fn(second) }
    }

    fn number(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_secs() + 1
    }

    fn second(&self, number: u64) -> &Second {
        let kept = KEPT as u64;
        &self.seconds[usize::try_from(number % kept).unwrap_or_default()]
    }

    /// Costs two accesses to memory; the first count of a second empties what was there a minute
    /// ago. One that comes at that very moment may be lost.
    fn count(&self, ended: Instant, status: StatusCode, elapsed: Duration) {
        let number = self.number(ended);
        let second = self.second(number);
        let seen = second.number.load(Relaxed);
        if seen < number && second.number.compare_exchange(seen, number, Relaxed, Relaxed).is_ok() {
            second.failed.store(0, Relaxed);
            for count in &second.by_step {
                count.store(0, Relaxed);
            }
        }
        second.by_step[step(elapsed)].fetch_add(1, Relaxed);
        if status.is_server_error() {
            second.failed.fetch_add(1, Relaxed);
        }
    }

    fn minute_before(&self, now: Instant) -> Recent {
        let this = self.number(now);
        let mut by_step = [0_u64; STEPS];
        let (mut failed, mut by_second) = (0, Vec::with_capacity(MINUTE));
        for back in (1..=MINUTE as u64).rev() {
            let number = this.saturating_sub(back);
            let second = self.second(number);
            let mut requests = 0;
            if number > 0 && second.number.load(Relaxed) == number {
                for (sum, count) in by_step.iter_mut().zip(&second.by_step) {
                    let count = count.load(Relaxed);
                    *sum += u64::from(count);
                    requests += count;
                }
                failed += u64::from(second.failed.load(Relaxed));
            }
            by_second.push(requests);
        }
        let requests = by_step.iter().sum();
        Recent {
            seconds: (this - 1).min(MINUTE as u64),
            by_second,
            requests,
            failed,
            median: within(&by_step, requests.div_ceil(2)),
            slowest: within(&by_step, (requests * 99).div_ceil(100)),
        }
    }
}

/// The step of a time; the last one has no end.
fn step(elapsed: Duration) -> usize {
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let Some(octave) = micros.checked_ilog2().filter(|octave| *octave >= 2) else {
        return usize::try_from(micros).unwrap_or_default();
    };
    let quarter = (micros >> (octave - 2)) & 3;
    let step = u64::from(4 * (octave - 1)) + quarter;
    usize::try_from(step).unwrap_or(STEPS).min(STEPS - 1)
}

/// The longest time of a step, to the microsecond.
fn end_of(step: usize) -> Duration {
    let step = step as u64;
    if step < 4 {
        return Duration::from_micros(step);
    }
    Duration::from_micros(((step % 4 + 5) << (step / 4 - 1)) - 1)
}

/// The time within which so many were answered.
fn within(by_step: &[u64; STEPS], count: u64) -> Option<Duration> {
    if count == 0 {
        return None;
    }
    let mut seen = 0;
    let reached = by_step.iter().position(|requests| {
        seen += requests;
        seen >= count
    });
    reached.map(end_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other_without_gaps() {
        for micros in 0..100_000 {
            let time = Duration::from_micros(micros);
            let at = step(time);
            assert!(time <= end_of(at), "{micros}");
            assert!(at == 0 || time > end_of(at - 1), "{micros}");
        }
        assert_eq!(step(Duration::from_hours(1)), STEPS - 1);
    }

    #[test]
    fn a_minute_is_told_of_and_then_forgotten() {
        let ring = Ring::new();
        let at = |secs| ring.began + Duration::from_secs(secs);
        for millis in 1..=99 {
            ring.count(at(3), StatusCode::OK, Duration::from_millis(millis));
        }
        ring.count(at(4), StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(9));
        let told = ring.minute_before(at(10));
        assert_eq!((told.seconds, told.requests, told.failed), (10, 100, 1));
        assert_eq!(&told.by_second[50..], [0, 0, 0, 99, 1, 0, 0, 0, 0, 0]);
        let about = |time: Option<Duration>, millis| {
            let (least, time) = (Duration::from_millis(millis), time.unwrap());
            time >= least && time < least * 5 / 4
        };
        assert!(about(told.median, 50) && about(told.slowest, 99), "{told:?}");
        let later = ring.minute_before(at(64));
        assert_eq!(
            (later.seconds, later.requests, later.median),
            (60, 1, Some(end_of(step(Duration::from_secs(9)))))
        );
        // The same place of the ring, a minute on.
        ring.count(at(67), StatusCode::OK, Duration::from_millis(1));
        assert_eq!(ring.minute_before(at(68)).requests, 1);
        assert_eq!(ring.minute_before(at(200)).requests, 0);
    }
}
