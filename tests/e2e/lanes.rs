//! Rounds side by side: a round mostly waits, for a sync or for a message to come back, and each has a lake of its own.
//!
//! Does not know what a round is.

#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Mutex;

use crate::films::Films;

/// Lakes in use at once.
const LANES: usize = 6;

/// Where a file system in memory is, on Linux. It makes a round much faster and shows the same: what a process has written
/// outlives the process there as on a disk, and failing calls are injected above it.
const IN_MEMORY: &str = "/dev/shm";

/// Folders with one API that all of them call, and with compiled plugins, so that what is killed is the run and not the compiler.
pub(crate) struct Lanes {
    pub(crate) films: Vec<Films>,
    /// Gone with it, unless a test fails: then they stay to be looked at.
    folders: Vec<tempfile::TempDir>,
}

impl Lanes {
    pub(crate) fn new(name: &str) -> Self {
        let first = Films::new(name);
        first.sluicebox(&["check"]).exits(0);
        let place = [Path::new(IN_MEMORY), &first.folder].into_iter().find(|place| place.is_dir()).unwrap();
        let folder = |_| tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(place).unwrap();
        let folders: Vec<_> = (0..LANES).map(folder).collect();
        let films = folders.iter().map(|folder| first.beside(folder.path().to_owned())).collect();
        Lanes { films, folders }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for folder in self.folders.drain(..) {
                eprintln!("the lake is left in {}", folder.keep().display());
            }
        }
    }
}

/// Does every round in one of the lanes; the results are in the rounds' order. After a round that panics no other is begun.
pub(crate) fn side_by_side<R, T>(lanes: &Lanes, rounds: Vec<R>, round: impl Fn(&Films, R) -> T + Sync) -> Vec<T>
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
        for films in &lanes.films {
            scope.spawn(|| one(films));
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
