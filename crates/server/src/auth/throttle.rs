//! Failed sign-ins, counted by address and name, so that guessing takes for ever.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Length of the window in which failures are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// Failures per window of one name from one address.
const PER_NAME_MAX: u32 = 10;
/// Failures per window of one address, whatever the names.
const PER_ADDRESS_MAX: u32 = 100;
/// Counters kept; beyond, the finished ones go first and then all: memory is bounded.
const COUNTERS_MAX: usize = 50_000;

type Key = (IpAddr, Option<String>);

/// Counts failed attempts.
#[derive(Debug, Default)]
pub struct Throttle {
    counters: Mutex<HashMap<Key, (Instant, u32)>>,
}

impl Throttle {
    /// How long this address must wait before it may try this name again, if it must.
    pub fn wait(&self, address: IpAddr, name: &str, now: Instant) -> Option<Duration> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = keys(address, name).into_iter().filter_map(|(key, max)| {
            let (started, failures) = counters.get(&key)?;
            let left = WINDOW.checked_sub(now.saturating_duration_since(*started))?;
            (*failures >= max && !left.is_zero()).then_some(left)
        });
        waits.max()
    }

    /// Counts one failure.
    pub fn failed(&self, address: IpAddr, name: &str, now: Instant) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |started: &Instant| now.saturating_duration_since(*started) >= WINDOW;
        if counters.len() >= COUNTERS_MAX {
            counters.retain(|_, (started, _)| !over(started));
            if counters.len() >= COUNTERS_MAX {
                counters.clear();
            }
        }
        for (key, _) in keys(address, name) {
            let counter = counters.entry(key).or_insert((now, 0));
            if over(&counter.0) {
                *counter = (now, 0);
            }
            counter.1 += 1;
        }
    }

    /// Forgets the failures of a name that signed in after all.
    pub fn succeeded(&self, address: IpAddr, name: &str) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.remove(&(address, Some(bounded(name))));
    }
}

fn keys(address: IpAddr, name: &str) -> [(Key, u32); 2] {
    [((address, Some(bounded(name))), PER_NAME_MAX), ((address, None), PER_ADDRESS_MAX)]
}

/// Names are the caller's text: long ones are not kept whole.
fn bounded(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_try_waits_until_the_window_is_over() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let here = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..PER_NAME_MAX {
            assert_eq!(throttle.wait(here, "admin", start), None);
            throttle.failed(here, "admin", start);
        }
        assert_eq!(throttle.wait(here, "admin", start), Some(WINDOW));
        assert_eq!(throttle.wait(here, "other", start), None);
        assert_eq!(throttle.wait(IpAddr::from([192, 0, 2, 2]), "admin", start), None);
        assert_eq!(throttle.wait(here, "admin", start + WINDOW), None);
    }

    #[test]
    fn an_address_that_tries_many_names_waits_too() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let here = IpAddr::from([192, 0, 2, 1]);
        for number in 0..PER_ADDRESS_MAX {
            throttle.failed(here, &number.to_string(), start);
        }
        assert!(throttle.wait(here, "fresh", start).is_some());
    }
}
