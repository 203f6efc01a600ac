//! A pipeline that is served by a process of its own: its log as it comes, and its end.
//!
//! Does not assert anything about what it does.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A line of the log, and when it was read.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) at: Instant,
    pub(crate) fields: Value,
}

impl Line {
    pub(crate) fn message(&self) -> &str {
        self.fields["message"].as_str().or(self.fields["fields"]["message"].as_str()).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        self.fields.to_string()
    }
}

/// A process that serves. Killed when it is dropped.
pub(crate) struct Served {
    child: Child,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Served {
    /// Starts a command that logs as JSON to stderr.
    pub(crate) fn start(mut command: Command) -> Self {
        command.args(["--log-format", "json"]);
        Served::of(command)
    }

    /// Starts a command that logs as JSON to stderr by itself.
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines: Arc<Mutex<Vec<Line>>> = Arc::default();
        let (log, read) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let fields = serde_json::from_str(&line).unwrap_or(Value::String(line));
                read.lock().unwrap().push(Line { at: Instant::now(), fields });
            }
        });
        Served { child, lines }
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    /// The first line from the one of that number on for which `wanted` holds, and the number behind it.
    #[track_caller]
    pub(crate) fn wait(&mut self, from: usize, what: &str, wanted: impl Fn(&Line) -> bool) -> (Line, usize) {
        self.look(from, Duration::from_secs(180), wanted).unwrap_or_else(|| {
            let ended = self.child.try_wait().unwrap();
            let last: Vec<String> = self.lines().iter().rev().take(30).map(Line::text).collect();
            panic!("waited for {what} in vain ({ended:?}); the last lines, newest first:\n{}", last.join("\n"));
        })
    }

    /// The same, if it comes within `span` and before the end.
    pub(crate) fn look(
        &mut self,
        from: usize,
        span: Duration,
        wanted: impl Fn(&Line) -> bool,
    ) -> Option<(Line, usize)> {
        let begun = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap().is_some() || begun.elapsed() > span;
            let lines = self.lines();
            if let Some((index, line)) = lines.iter().enumerate().skip(from).find(|(_, line)| wanted(line)) {
                return Some((line.clone(), index + 1));
            }
            if ended {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets it finish its current work and end; returns the exit code.
    pub(crate) fn stop(mut self) -> i32 {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
