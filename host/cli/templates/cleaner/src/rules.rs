//! From a station's text to typed rows: one pure function, tested by `cargo test`.
//!
//! Does not read files, clocks or the network: a plugin has none.

use sluicebox_sdk::{Date, Input, Output, Refusal, Timestamp};

/// `[clean.config]` of `pipeline.toml`. Every key has a default.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The coldest temperature that is believed, in °C.
    coldest: f64,
    /// The hottest temperature that is believed, in °C.
    hottest: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { coldest: -90.0, hottest: 60.0 }
    }
}

/// The fields that the rule reads from a document: the host passes these and no others.
#[derive(Input)]
pub struct Document<'a> {
    station: &'a str,
    observed_at: &'a str,
    temperature: Option<&'a str>,
    humidity: Option<&'a str>,
    rain_mm: Option<&'a str>,
    conditions: Option<&'a str>,
}

/// A row of Silver.
#[derive(Output)]
pub struct Reading {
    station: String,
    observed_at: Timestamp,
    day: Date,
    temperature_c: Option<f64>,
    humidity_percent: Option<i64>,
    rain_mm: Option<f64>,
    conditions: Vec<String>,
}

/// The rule. A `Refusal::skip` is a record that rightly makes no row; any other error quarantines the record with its words.
pub fn clean(settings: &Settings, document: Document<'_>) -> Result<Reading, Refusal> {
    let conditions = words(document.conditions);
    if conditions.iter().any(|word| word == "calibration") {
        return Err(Refusal::skip("a calibration run is no weather"));
    }
    let observed_at: Timestamp =
        document.observed_at.trim().parse().map_err(|error| format!("`observed_at`: {error}"))?;
    let temperature_c = known(document.temperature).map(celsius).transpose()?;
    if let Some(celsius) = temperature_c.filter(|celsius| !(settings.coldest..=settings.hottest).contains(celsius)) {
        let Settings { coldest, hottest } = settings;
        return Err(format!("`temperature`: expected {coldest} to {hottest} °C, got {celsius}").into());
    }
    Ok(Reading {
        station: document.station.trim().to_uppercase(),
        observed_at,
        day: observed_at.date(),
        temperature_c,
        humidity_percent: known(document.humidity).map(percent).transpose()?,
        rain_mm: known(document.rain_mm).map(millimetres).transpose()?,
        conditions,
    })
}

/// The text, unless it stands for a missing value.
fn known(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !matches!(*text, "" | "-" | "n/a" | "N/A"))
}

/// `4.2 C`, `4.2 °C`, `39.6 F`, or a bare number, which is in °C; to a tenth.
fn celsius(text: &str) -> Result<f64, String> {
    let number = |text: &str| text.trim().trim_end_matches('°').trim().parse::<f64>();
    let degrees = match text.strip_suffix('F') {
        Some(fahrenheit) => number(fahrenheit).map(|degrees| (degrees - 32.0) / 1.8),
        None => number(text.trim_end_matches('C')),
    };
    let degrees = degrees.ok().filter(|degrees| degrees.is_finite());
    degrees.map(tenths).ok_or_else(|| format!("`temperature`: expected degrees such as `4.2 C`, got `{text}`"))
}

/// `87%` or `87`.
fn percent(text: &str) -> Result<i64, String> {
    let percent = text.trim_end_matches('%').trim().parse().ok().filter(|percent| (0..=100).contains(percent));
    percent.ok_or_else(|| format!("`humidity`: expected 0% to 100%, got `{text}`"))
}

/// A number, or `trace`, which is too little to measure.
fn millimetres(text: &str) -> Result<f64, String> {
    if text == "trace" {
        return Ok(0.0);
    }
    let rain = text.parse().ok().filter(|rain: &f64| rain.is_finite() && *rain >= 0.0);
    rain.map(tenths).ok_or_else(|| format!("`rain_mm`: expected millimetres or `trace`, got `{text}`"))
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// The words of a list such as `rain; wind`.
fn words(text: Option<&str>) -> Vec<String> {
    let words = text.unwrap_or_default().split(';').map(str::trim).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document<'a>(temperature: &'a str, conditions: &'a str) -> Document<'a> {
        Document {
            station: " hkl-01",
            observed_at: "2026-03-01T06:00:00Z",
            temperature: Some(temperature),
            humidity: Some("87%"),
            rain_mm: Some("trace"),
            conditions: Some(conditions),
        }
    }

    #[test]
    fn text_becomes_values() {
        let reading = clean(&Settings::default(), document("39.6 F", "Rain; wind")).unwrap();
        assert_eq!((reading.station.as_str(), reading.temperature_c), ("HKL-01", Some(4.2)));
        assert_eq!((reading.humidity_percent, reading.rain_mm), (Some(87), Some(0.0)));
        assert_eq!(reading.conditions, ["rain", "wind"]);
        assert_eq!(reading.day.to_string(), "2026-03-01");
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        let refusal = clean(&Settings::default(), document("412 C", "")).err();
        assert_eq!(refusal, Some(Refusal::reject("`temperature`: expected -90 to 60 °C, got 412")));
        let refusal = clean(&Settings::default(), document("warm", "")).err();
        assert_eq!(refusal, Some(Refusal::reject("`temperature`: expected degrees such as `4.2 C`, got `warm`")));
    }

    #[test]
    fn a_calibration_run_is_skipped() {
        let refusal = clean(&Settings::default(), document("4.2 C", "calibration")).err();
        assert_eq!(refusal, Some(Refusal::skip("a calibration run is no weather")));
    }
}
