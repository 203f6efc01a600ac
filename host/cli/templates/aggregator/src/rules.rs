//! A station's weather in one row: a state that rows are added to and that can be merged, tested by `cargo test`.
//!
//! Does not sum floating-point numbers: their sum depends on the order of the rows, that of tenths does not.

use serde::{Deserialize, Serialize};
use sluicebox_sdk::{Aggregate, Date, Groups, Input, NoConfig, Output};

/// The columns that the rule reads from a row of Silver.
#[derive(Input)]
pub struct Reading<'a> {
    station: &'a str,
    day: Date,
    temperature_c: Option<f64>,
    rain_mm: Option<f64>,
}

/// A row of the table.
#[derive(Debug, PartialEq, Output)]
pub struct Station {
    station: String,
    readings: i64,
    first_day: Date,
    last_day: Date,
    coldest_c: Option<f64>,
    hottest_c: Option<f64>,
    mean_c: Option<f64>,
    rain_mm: f64,
}

/// The state: the figures of each station.
#[derive(Default, Serialize, Deserialize)]
pub struct Stations(Groups<String, Figures>);

/// A station's figures. Temperatures and rain are in tenths.
#[derive(Default, Serialize, Deserialize)]
struct Figures {
    readings: i64,
    /// First and last, as days since 1970.
    days: Option<(i32, i32)>,
    /// Coldest and hottest.
    extremes: Option<(i64, i64)>,
    temperature_sum: i64,
    temperatures: i64,
    rain_sum: i64,
}

impl Figures {
    fn merge(&mut self, other: Figures) {
        self.readings += other.readings;
        self.days = wider(self.days, other.days);
        self.extremes = wider(self.extremes, other.extremes);
        self.temperature_sum += other.temperature_sum;
        self.temperatures += other.temperatures;
        self.rain_sum += other.rain_sum;
    }
}

impl Aggregate for Stations {
    type Config = NoConfig;
    type Row<'a> = Reading<'a>;
    type Output = Station;

    fn add(&mut self, _: &NoConfig, row: Reading<'_>) {
        let temperature = row.temperature_c.map(tenths);
        let day = row.day.days();
        self.0.of(row.station).merge(Figures {
            readings: 1,
            days: Some((day, day)),
            extremes: temperature.map(|tenths| (tenths, tenths)),
            temperature_sum: temperature.unwrap_or(0),
            temperatures: temperature.map_or(0, |_| 1),
            rain_sum: row.rain_mm.map_or(0, tenths),
        });
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0, Figures::merge);
    }

    fn finish(&self, _: &NoConfig) -> Vec<Station> {
        self.0.sorted().into_iter().filter_map(|(station, figures)| row(station, figures)).collect()
    }
}

fn row(station: &str, figures: &Figures) -> Option<Station> {
    let (first, last) = figures.days?;
    let mean = figures.temperature_sum as f64 / figures.temperatures as f64;
    Some(Station {
        station: station.to_owned(),
        readings: figures.readings,
        first_day: Date::from_days(first),
        last_day: Date::from_days(last),
        coldest_c: figures.extremes.map(|(coldest, _)| coldest as f64 / 10.0),
        hottest_c: figures.extremes.map(|(_, hottest)| hottest as f64 / 10.0),
        mean_c: (figures.temperatures > 0).then(|| mean.round() / 10.0),
        rain_mm: figures.rain_sum as f64 / 10.0,
    })
}

fn tenths(number: f64) -> i64 {
    (number * 10.0).round() as i64
}

/// The span around two spans. One or both may be missing.
fn wider<T: Ord>(one: Option<(T, T)>, other: Option<(T, T)>) -> Option<(T, T)> {
    match (one, other) {
        (Some((low, high)), Some((lower, higher))) => Some((low.min(lower), high.max(higher))),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings() -> Vec<Reading<'static>> {
        let reading = |station, day, temperature_c, rain_mm| Reading {
            station,
            day: Date::from_days(day),
            temperature_c,
            rain_mm,
        };
        vec![
            reading("B", 20_513, Some(4.2), Some(0.3)),
            reading("A", 20_514, None, None),
            reading("B", 20_512, Some(-1.4), Some(0.4)),
        ]
    }

    fn fold(rows: impl IntoIterator<Item = Reading<'static>>) -> Stations {
        let mut state = Stations::default();
        rows.into_iter().for_each(|row| state.add(&NoConfig {}, row));
        state
    }

    #[test]
    fn a_station_is_one_row() {
        let table = fold(readings()).finish(&NoConfig {});
        assert_eq!(table.len(), 2);
        assert_eq!((table[0].station.as_str(), table[0].mean_c, table[0].coldest_c), ("A", None, None));
        assert_eq!((table[1].readings, table[1].mean_c, table[1].rain_mm), (2, Some(1.4), 0.7));
        assert_eq!((table[1].coldest_c, table[1].hottest_c), (Some(-1.4), Some(4.2)));
    }

    #[test]
    fn how_rows_are_spread_makes_no_difference() {
        let whole = fold(readings()).finish(&NoConfig {});
        let mut merged = Stations::default();
        for row in readings().into_iter().rev() {
            merged.merge(fold([row]));
        }
        assert_eq!(merged.finish(&NoConfig {}), whole);
    }
}
