//! A newcomer's first day: a table of 5,000 rows and an API that misbehaves, a wrong key, an outage, a change of types beside a running
//! server, a plugin's bug and its fix, a rollback, a lake that is deleted by hand. After each step the test runs the hint that was printed,
//! and it works. Every exit code is right.
//!
//! Does not test each of these by itself: `lifecycle`, `outage`, `swap` and the engine's tests do.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: it writes files itself, and what goes wrong ends it"
)]

mod films;
mod serve;
mod support;

use std::fmt::Write as _;

use api_stub::{Fault, Rule};
use films::Films;
use serde_json::Value;
use serve::Served;
use support::{Ran, another, publish, run};

const ROWS: usize = 5_000;
const CLEANER: &str = "plugins/clean-movies/clean-movies.wasm";
/// Ticks of three days.
const DAYS: [&str; 3] = ["2026-11-20T03:00:00Z", "2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z"];

/// The project, and what the test prints about it.
struct Day {
    films: Films,
    /// More of `pipeline.toml`.
    aggregates: String,
}

impl Day {
    /// A source of 5,000 rows, and an API that knows all of them but every fiftieth.
    fn begin() -> Self {
        let (mut source, mut known) = ("title,year,imdb_votes\n".to_owned(), String::new());
        known.push_str("title,release_date,rated,runtime_min,genre,director,distributor,source,creative_type,budget_usd,us_gross_usd,");
        known.push_str("worldwide_gross_usd,rotten_tomatoes,imdb_rating,imdb_votes\n");
        for number in 0..ROWS {
            let (year, votes) = (1990 + number % 20, 1_000 + number);
            let genre = ["Drama", "Comedy", "Horror"][number % 3];
            writeln!(source, "Film {number:04},{year},{votes}").unwrap();
            if number % 50 != 7 {
                writeln!(
                    known,
                    "Film {number:04},Jun 12 {year},R,100,{genre},Someone,,,,1000,2000,3000,50,6.5,{votes}"
                )
                .unwrap();
            }
        }
        let folder = support::fresh_folder("newcomers-day-api");
        std::fs::write(folder.join("films.csv"), known).unwrap();
        let films = Films::of("newcomers-day", &folder.join("films.csv"));
        std::fs::write(films.path("data/movies.csv"), source).unwrap();
        let text = std::fs::read_to_string(films.path("pipeline.toml")).unwrap();
        let (before, rest) = text.split_once("[[aggregate]]").unwrap();
        let (aggregates, lake) = rest.split_once("[lake]").unwrap();
        let without = format!("{}\n[lake]{lake}", before.replace("batch_size = 1\n", "batch_size = 100\n"));
        std::fs::write(films.path("pipeline.toml"), without.replace("top_n = 10\n", "top_n = \"all\"\n")).unwrap();
        Day { films, aggregates: format!("\n[[aggregate]]{aggregates}") }
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.films.sluicebox(args)
    }

    /// One tick with another key of the API.
    fn with_key(&self, key: &str, args: &[&str]) -> Ran {
        run(self.films.command(args).env("OMDB_API_KEY", key))
    }

    fn status(&self) -> Value {
        self.run(&["status", "--json"]).exits(0).json()["pipelines"][0].clone()
    }

    fn rows(&self) -> u64 {
        self.status()["silver"]["rows"].as_u64().unwrap()
    }

    fn quarantined(&self) -> usize {
        self.run(&["quarantine", "ls", "--json"]).exits(0).json()["refused"].as_array().unwrap().len()
    }

    /// Runs the first command of that name that a text prints in backticks.
    #[track_caller]
    fn follow(&self, told: &Ran, beginning: &str) -> Ran {
        let all = format!("{}\n{}", told.stdout, told.stderr);
        let found = all.split('`').find(|part| part.starts_with(&format!("sluicebox {beginning}")));
        let Some(hint) = found else { panic!("no hint `sluicebox {beginning}…` in\n{all}") };
        let words: Vec<&str> = hint.split_whitespace().skip(1).collect();
        self.run(&words)
    }

    /// Publishes another cleaner.
    fn publish(&self, component: &[u8]) {
        publish(&self.films.path(CLEANER), component);
    }

    fn edit(&self, from: &str, to: &str) {
        let path = self.films.path("pipeline.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    fn serve(&self) -> Served {
        let args = ["run", "--set", "swap.rehearse=0", "--set", "schedule.cron=\"0 3 1 1 *\""];
        let mut served = Served::start(self.films.command(&args));
        served.wait(0, "the start", |line| line.text().contains("serving"));
        served
    }
}

fn fault(fault: Fault, next: u64, title: Option<&str>) -> Rule {
    Rule { fault, next: Some(next), every: None, title: title.map(str::to_owned) }
}

/// The same component with other words in it.
fn replaced(component: &[u8], word: &[u8], by: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let places: Vec<usize> = (0..bytes.len() - word.len()).filter(|at| bytes[*at..].starts_with(word)).collect();
    assert!(!places.is_empty() && word.len() == by.len());
    for at in places {
        bytes[at..at + word.len()].copy_from_slice(by);
    }
    bytes
}

#[test]
fn a_newcomers_day() {
    let day = Day::begin();
    let sound = std::fs::read(day.films.path(CLEANER)).unwrap();
    let once = |tick: &'static str| ["run", "--once", "--tick", tick, "--patience", "2s"];
    day.run(&["check"]).exits(0);

    // The wrong key: nothing is lost, nothing is refused, and the run says that it is not done.
    let refused = day.with_key("a-wrong-key", &once(DAYS[0]));
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stdout.contains("refuses the API key"), "{refused:?}");
    assert_eq!(day.quarantined(), 0);

    // The right one, and an API that has a bad day: the same command goes on where the first run stopped.
    let stub = &day.films.stub;
    stub.add_fault(fault(Fault::Status { status: 404, retry_after: None }, 1, Some("Film 0100")));
    stub.add_fault(fault(Fault::Status { status: 429, retry_after: Some("1".to_owned()) }, 2, Some("Film 0200")));
    stub.add_fault(fault(Fault::Status { status: 500, retry_after: None }, 2, Some("Film 0300")));
    stub.add_fault(fault(Fault::Delay { ms: 1_500 }, 3, Some("Film 0400")));
    let first = day.run(&once(DAYS[0])).exits(0);
    assert!(first.stdout.contains("5,000") || first.stdout.contains("5000"), "{}", first.stdout);
    let rows = day.rows();
    assert!((4_890..=4_900).contains(&rows), "all but each fiftieth, which the API does not know: {rows}");
    stub.clear_faults();
    // On the same day again: it says that it did nothing, and how to read the source again.
    let again = day.run(&once(DAYS[0])).exits(0);
    assert!(again.stdout.contains("ran already"), "{}", again.stdout);

    // The API is down: few requests, nothing refused, and an exit code that says so. Then it is back.
    day.edit("top_n = \"all\"", "top_n = 300");
    stub.add_fault(Rule {
        fault: Fault::Status { status: 503, retry_after: None },
        next: None,
        every: None,
        title: None,
    });
    let (calls, quarantined) = (stub.stats().calls, day.quarantined());
    let down = day.run(&once(DAYS[1])).exits(1);
    let told = format!("{}{}", down.stdout, down.stderr);
    assert!(told.contains("`omdb`") && told.contains("503"), "{told}");
    assert!(stub.stats().calls - calls < 60, "{} requests to a service that is down", stub.stats().calls - calls);
    assert_eq!(day.quarantined(), quarantined);
    stub.clear_faults();
    day.run(&once(DAYS[1])).exits(0);

    // Other columns, published beside a running server: refused with the remedy; the remedy runs beside it, and it goes on.
    let mut served = day.serve();
    day.publish(&replaced(&sound, b"year_end", b"year_fin"));
    let mut from = 0;
    for component in [None, Some(&sound)] {
        if let Some(component) = component {
            day.publish(component);
        }
        let (line, next) = served.wait(from, "the refusal", |line| line.text().contains("P041"));
        let told = Ran { code: 0, stdout: line.text(), stderr: String::new() };
        day.follow(&told, "replay --rebuild").exits(0);
        from = served.wait(next, "the new plugin", |line| line.message() == "another plugin serves").1;
    }
    assert_eq!(served.stop(), 130);
    assert_eq!(day.rows(), rows, "the first cleaner's rows are back");

    // Gold, for the first time.
    let text = std::fs::read_to_string(day.films.path("pipeline.toml")).unwrap();
    std::fs::write(
        day.films.path("pipeline.toml"),
        text.replacen("\n[lake]", &format!("{}\n[lake]", day.aggregates), 1),
    )
    .unwrap();
    day.run(&once(DAYS[1])).exits(0);
    assert_eq!(day.films.gold("genres").len(), 4);

    // A bug: far too much is refused, so the stage is suspended. The fix lifts that, and what a smaller bug refused is made again.
    day.edit("max_year = 2011", "max_year = 1995");
    let suspended = day.run(&once(DAYS[2])).exits(1);
    let told = format!("{}{}", suspended.stdout, suspended.stderr);
    assert!(told.contains("suspended") && told.contains("sluicebox resume clean"), "{told}");
    assert_eq!(day.quarantined(), quarantined);
    day.edit("max_year = 1995", "max_year = 2008");
    day.run(&["run", "--once", "--tick", DAYS[2], "--max-quarantined", "100%"]).exits(0);
    let refused = day.quarantined() - quarantined;
    assert!((10..60).contains(&refused), "films of 2009: {refused}");
    day.edit("max_year = 2008", "max_year = 2011");
    day.run(&["quarantine", "replay"]).exits(0);
    assert_eq!(day.quarantined(), quarantined);

    // Another plugin, and the way back.
    let mut served = day.serve();
    day.publish(&another(&sound, 1));
    let (_, from) = served.wait(0, "the new plugin", |line| line.message() == "another plugin serves");
    let back = day.run(&["plugin", "rollback", "clean"]).exits(0);
    assert!(!back.stdout.contains("? ?"), "{}", back.stdout);
    served.wait(from, "the old plugin", |line| line.message() == "another plugin serves");
    assert_eq!(served.stop(), 130);
    day.publish(&sound);

    // The lake is deleted by hand.
    std::fs::remove_dir_all(day.films.path("lake")).unwrap();
    day.run(&["run", "--once", "--tick", DAYS[2]]).exits(0);
    assert_eq!(day.films.gold("genres").len(), 4);
    day.run(&["verify"]).exits(0);
}
