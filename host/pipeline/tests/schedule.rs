//! Ticks: every form of expression, and the days on which clocks change.

// A test fails by panicking.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use pipeline::schedule::{Missed, Schedule, ScheduleError};
use proptest::prelude::*;

fn schedule(text: &str, zone: &str) -> Schedule {
    Schedule::parse(text, zone.parse().unwrap(), Missed::Once).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn ticks(text: &str, zone: &str, after: &str, up_to: &str) -> Vec<String> {
    let schedule = schedule(text, zone);
    schedule.between(at(after), at(up_to)).map(|tick| tick.format("%m-%dT%H:%M").to_string()).collect()
}

#[test]
fn a_daily_tick_follows_the_wall_clock() {
    assert_eq!(
        ticks("0 3 * * *", "UTC", "2024-03-30T03:00:00Z", "2024-04-01T03:00:00Z"),
        ["03-31T03:00", "04-01T03:00"]
    );
    // Berlin: 02:00 becomes 03:00 on 31 March 2024.
    assert_eq!(
        ticks("0 3 * * *", "Europe/Berlin", "2024-03-29T12:00:00Z", "2024-04-01T12:00:00Z"),
        ["03-30T02:00", "03-31T01:00", "04-01T01:00"]
    );
}

#[test]
fn a_tick_in_the_gap_moves_over_it_and_fires_once() {
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2024-03-30T00:00:00Z", "2024-04-01T12:00:00Z"),
        ["03-30T01:30", "03-31T01:00", "04-01T00:30"]
    );
    assert_eq!(
        ticks("30 2 * * *", "America/New_York", "2024-03-09T00:00:00Z", "2024-03-11T12:00:00Z"),
        ["03-09T07:30", "03-10T07:00", "03-11T06:30"]
    );
    // Several times in one gap become one tick at its end, even if a tick is there anyway.
    assert_eq!(
        ticks("0,20,40 2,3 * * *", "Europe/Berlin", "2024-03-31T00:00:00Z", "2024-03-31T12:00:00Z"),
        ["03-31T01:00", "03-31T01:20", "03-31T01:40"]
    );
}

#[test]
fn a_tick_in_the_overlap_fires_once() {
    // Berlin: 03:00 becomes 02:00 on 27 October 2024; New York: 02:00 becomes 01:00 on 3 November 2024.
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00:00Z", "2024-10-28T12:00:00Z"),
        ["10-27T00:30", "10-28T01:30"]
    );
    assert_eq!(
        ticks("15,45 1 * * *", "America/New_York", "2024-11-02T12:00:00Z", "2024-11-04T12:00:00Z"),
        ["11-03T05:15", "11-03T05:45", "11-04T06:15", "11-04T06:45"]
    );
    // Started in the second half: what fired in the first does not fire again, and is the latest.
    let daily = schedule("15,45 1 * * *", "America/New_York");
    assert_eq!(daily.next_after(at("2024-11-03T06:20:00Z")), Some(at("2024-11-04T06:15:00Z")));
    assert_eq!(daily.latest_at_or_before(at("2024-11-03T06:20:00Z")), Some(at("2024-11-03T05:45:00Z")));
}

#[test]
fn steps_of_hours_follow_elapsed_time() {
    assert_eq!(
        ticks("*/30 * * * *", "Europe/Berlin", "2024-10-26T23:45:00Z", "2024-10-27T02:00:00Z"),
        ["10-27T00:00", "10-27T00:30", "10-27T01:00", "10-27T01:30", "10-27T02:00"]
    );
    assert_eq!(
        ticks("0 * * * *", "Europe/Berlin", "2024-03-30T23:30:00Z", "2024-03-31T02:00:00Z"),
        ["03-31T00:00", "03-31T01:00", "03-31T02:00"]
    );
}

#[test]
fn the_latest_tick_includes_the_instant_itself() {
    let daily = schedule("0 3 * * *", "UTC");
    assert_eq!(daily.latest_at_or_before(at("2024-05-05T03:00:00Z")), Some(at("2024-05-05T03:00:00Z")));
    assert_eq!(daily.latest_at_or_before(at("2024-05-05T03:00:00.5Z")), Some(at("2024-05-05T03:00:00Z")));
    assert_eq!(daily.latest_at_or_before(at("2024-05-05T02:59:59.999Z")), Some(at("2024-05-04T03:00:00Z")));
    assert_eq!(daily.next_after(at("2024-05-05T02:59:59.999Z")), Some(at("2024-05-05T03:00:00Z")));
    assert_eq!(daily.next_after(at("2024-05-05T03:00:00Z")), Some(at("2024-05-06T03:00:00Z")));
}

#[test]
fn names_and_event_bridge_mean_what_they_say() {
    let range = ("2024-02-27T12:00:00Z", "2024-03-02T12:00:00Z");
    assert_eq!(ticks("@daily", "UTC", range.0, range.1), ["02-28T00:00", "02-29T00:00", "03-01T00:00", "03-02T00:00"]);
    assert_eq!(ticks("@monthly", "UTC", range.0, range.1), ["03-01T00:00"]);
    // 1 March 2024 is a Friday: 5 in cron, 6 in EventBridge.
    for text in ["0 3 * * 5", "0 3 * * FRI", "cron(0 3 ? * 6 *)", "cron(0 3 ? * FRI 2024)"] {
        assert_eq!(ticks(text, "UTC", range.0, range.1), ["03-01T03:00"], "{text}");
    }
    for text in ["0 3 * * 0", "0 3 * * 7", "0 3 * * SUN", "cron(0 3 ? * 1 *)", "cron(0 3 ? * SUN *)", "@weekly"] {
        let tick = schedule(text, "UTC").next_after(at(range.0)).unwrap();
        assert_eq!(tick.date_naive().to_string(), "2024-03-03", "{text}");
    }
    for text in ["0 3 * * 6", "cron(0 3 ? * 7 *)", "cron(0 3 ? * SAT *)"] {
        assert_eq!(ticks(text, "UTC", range.0, range.1), ["03-02T03:00"], "{text}");
    }
    assert_eq!(ticks("cron(0/30 3 L * ? *)", "UTC", range.0, range.1), ["02-29T03:00", "02-29T03:30"]);
    // Both days restricted: either is enough.
    assert_eq!(ticks("0 0 1 * WED", "UTC", range.0, range.1), ["02-28T00:00", "03-01T00:00"]);
    assert_eq!(schedule("cron(0 3 1 1 ? 2024)", "UTC").next_after(at(range.0)), None);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_field() {
    let refused = |text: &str| Schedule::parse(text, Tz::UTC, Missed::Once).unwrap_err();
    let field = |text: &str| match refused(text) {
        ScheduleError::Field { name, text, .. } => format!("{name}: {text}"),
        other => other.to_string(),
    };
    assert_eq!(field("60 * * * *"), "minute: 60");
    assert_eq!(field("0 MON * * *"), "hour: MON");
    assert_eq!(field("0 0 32 * *"), "day of month: 32");
    assert_eq!(field("0 0 * FOO *"), "month: FOO");
    assert_eq!(field("0 0 * JANUARY *"), "month: JANUARY");
    assert_eq!(field("0 0 * * 8"), "day of week: 8");
    assert_eq!(field("0 ? * * *"), "hour: ?");
    assert_eq!(field("cron(0 3 * * ? 20x4)"), "year: 20x4");
    assert!(matches!(refused("* * * *"), ScheduleError::FieldCount { got: 4, .. }));
    assert!(matches!(refused(""), ScheduleError::FieldCount { got: 0, .. }));
    assert!(matches!(refused("cron(0 3 * * ?)"), ScheduleError::FieldCount { got: 5, .. }));
    assert!(matches!(refused("@reboot"), ScheduleError::Nickname(_)));
    assert!(matches!(refused("cron(0 3 ? * ? *)"), ScheduleError::QuestionMarks));
    assert!(matches!(refused("0 0 31 2,4,6,9,11 *"), ScheduleError::Never(_)));
}

#[test]
fn missed_ticks_follow_the_policy() {
    let (last, now) = (at("2024-05-05T03:00:00Z"), at("2024-05-08T12:00:00Z"));
    let due = |missed| Schedule::parse("0 3 * * *", Tz::UTC, missed).unwrap().catch_up(last, now);
    assert!(due(Missed::Skip).is_empty());
    assert_eq!(due(Missed::Once), [at("2024-05-08T03:00:00Z")]);
    assert_eq!(due(Missed::All), [at("2024-05-06T03:00:00Z"), at("2024-05-07T03:00:00Z"), at("2024-05-08T03:00:00Z")]);
    let again = Schedule::parse("0 3 * * *", Tz::UTC, Missed::Once).unwrap();
    assert!(again.catch_up(at("2024-05-08T03:00:00Z"), now).is_empty());
}

#[test]
fn it_prints_itself() {
    assert_eq!(schedule("0 3 * * *", "Europe/Berlin").to_string(), "0 3 * * * (Europe/Berlin)");
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (0_u32..60).prop_map(|n| n.to_string()),
        (0_u32..30, 0_u32..60).prop_map(|(a, b)| format!("{a}-{b}")),
        (0_u32..30, 0_u32..60).prop_map(|(a, b)| format!("{a},{b}")),
        (0_u32..20).prop_map(|n| format!("*/{n}")),
        "[0-9*,/?LW#-]{0,6}",
        "(MON|SUN|JAN|DEC|L|W)[-,#]?[A-Z0-9]{0,3}",
    ]
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,40}", zone in prop::sample::select(&chrono_tz::TZ_VARIANTS[..])) {
        let _ = Schedule::parse(&text, zone, Missed::Once);
        let _ = Schedule::parse(&format!("cron({text})"), zone, Missed::Once);
    }

    /// Forwards and backwards agree, in every zone, around every change of clocks.
    #[test]
    fn the_way_back_meets_the_way_forth(
        fields in prop::collection::vec(field(), 5),
        zone in prop::sample::select(&chrono_tz::TZ_VARIANTS[..]),
        minutes in 0_i64..(60 * 24 * 365 * 30),
    ) {
        let Ok(schedule) = Schedule::parse(&fields.join(" "), zone, Missed::All) else { return Ok(()) };
        let start = at("2000-01-01T00:00:30Z") + TimeDelta::minutes(minutes);
        let ticks: Vec<DateTime<Utc>> = schedule.between(start, start + TimeDelta::days(400)).take(40).collect();
        prop_assert_eq!(ticks.iter().collect::<BTreeSet<_>>().len(), ticks.len());
        prop_assert!(ticks.is_sorted());
        for pair in ticks.windows(2) {
            prop_assert_eq!(schedule.latest_at_or_before(pair[1] - TimeDelta::seconds(1)), Some(pair[0]));
            prop_assert_eq!(schedule.latest_at_or_before(pair[1]), Some(pair[1]));
        }
    }
}
