//! Rounds side by side: a round mostly waits, for a sync or for a message to come back, and each has a lake of its own.
//!
//! Does not know what a round is.

#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use crate::films::Films;

/// Lakes in use at once.
pub(crate) const LANES: usize = 6;

/// So many folders with compiled plugins and one API that all of them call, so that what is killed is the run and not the compiler.
pub(crate) fn lanes(name: &str) -> Vec<Films> {
    let first = Films::new(name);
    first.sluicebox(&["check"]).exits(0);
    let others: Vec<Films> = (1..LANES).map(|lane| first.beside(&format!("{name}-{lane}"))).collect();
    std::iter::once(first).chain(others).collect()
}

/// Does every round in one of the lanes; what they return stands in their order. After a round that panics no other is begun.
pub(crate) fn side_by_side<R, T>(lanes: &[Films], rounds: Vec<R>, round: impl Fn(&Films, R) -> T + Sync) -> Vec<T>
where
    R: Send,
    T: Send,
{
    let left: Mutex<VecDeque<(usize, R)>> = Mutex::new(rounds.into_iter().enumerate().collect());
    let done: Mutex<Vec<(usize, T)>> = Mutex::default();
    let one = |films: &Films| {
        loop {
            let Some((number, what)) = left.lock().unwrap().pop_front() else { return };
            match catch_unwind(AssertUnwindSafe(|| round(films, what))) {
                Ok(result) => done.lock().unwrap().push((number, result)),
                Err(panic) => {
                    left.lock().unwrap().clear();
                    resume_unwind(panic);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for films in lanes {
            scope.spawn(|| one(films));
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
