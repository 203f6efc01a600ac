//! A year of daily ticks of 300,000 records, by counts alone: closed ticks are sums, and nothing looks behind them.

use chrono::TimeDelta;
use engine::drivers::schedule;
use engine::drivers::sweep::sweep;
use lake::closed::{self, Sums};
use pipeline::schedule::{Missed, Schedule};
use proof::status::status;
use records::keys::Tick;
use seams::clock::Clock;
use testkit::ScriptedHttp;

use crate::curve::counted;
use crate::world::{Options, TICK, World, good, orders};

const RECORDS: usize = 300_000;

/// What a tick, a sweep, a look for missed ticks and `status` ask for in a lake of so many days.
async fn costs(days: usize) -> [u64; 4] {
    let options = Options { source: orders(10), ..Options::default() };
    let mut world = World::new(&options);
    let counts = counted(&mut world);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    // One that is done, from which Gold is.
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    for _ in 1..days {
        world.clock.jump(TimeDelta::days(1));
        let tick = Tick::at(world.clock.now());
        let sums = Sums {
            ticks: 1,
            messages: RECORDS / 100,
            objects: RECORDS / 100,
            records: RECORDS,
            lines: RECORDS,
            cleaned: RECORDS,
            last: Some(tick),
            ..Sums::default()
        };
        closed::put(&world.lake, tick, sums).await.unwrap();
    }
    world.clock.jump(TimeDelta::days(1));
    let mut asked = [0; 4];
    let mut took = |at: usize, before: u64| asked[at] = counts.asked().requests - before;
    let tick = Tick::at(world.clock.now());
    let before = counts.asked().requests;
    service.ingest.fire(tick).await.unwrap();
    took(0, before);
    let before = counts.asked().requests;
    assert_eq!(sweep(&service, true).await.unwrap().messages, 4);
    took(1, before);
    let schedule = Schedule::parse("0 3 * * *", chrono_tz::UTC, Missed::All).unwrap();
    let before = counts.asked().requests;
    let missed = schedule::missed(&schedule, &world.lake, world.clock.now()).await.unwrap();
    took(2, before);
    assert_eq!(missed, []);
    let before = counts.asked().requests;
    let told = status(&service).await.unwrap();
    took(3, before);
    assert_eq!((told.bronze.ticks, told.bronze.records), (days + 1, (days - 1) * RECORDS + 20));
    assert_eq!((told.bronze.watermark.behind(), told.last_tick), (10, Some(tick)));
    asked
}

#[tokio::test(start_paused = true)]
async fn a_year_of_days_asks_for_as_much_as_three_weeks() {
    let (weeks, year) = (costs(21).await, costs(365).await);
    println!("fire, sweep, missed, status: {weeks:?} requests after 21 days, {year:?} after 365");
    for (weeks, year) in weeks.iter().zip(year) {
        // The daily count of ticks reads what is closed of each day that has a folder: here none has.
        assert!(year <= weeks + 2, "{weeks} requests became {year}");
    }
}
