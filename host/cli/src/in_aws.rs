//! Advice about a pipeline in AWS before it is deployed: the cost of a month, and what does not go well with functions.
//!
//! Does not calculate: `deploy` does. Calls no service.

use deploy::{Deployment, Layout, Mode, Month, advice, records_of};
use pipeline::plan::{Location, Plan};
use serde::Serialize;

use crate::context::Context;
use crate::pipelines::{PipelineFile, rendered};

/// The batch size that others are compared with.
const LARGE: usize = 100;
/// The batch size is mentioned if the cost exceeds this multiple of the cost with [`LARGE`].
const MUCH: f64 = 1.5;
/// Nothing is said about a smaller difference, in dollars a month.
const LITTLE: f64 = 1.0;

/// The cost of a month with the file's `batch_size`, and with messages of a hundred records.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    #[serde(flatten)]
    month: Month,
    batch_size: usize,
    /// Dollars with messages of a hundred records.
    total_at_100: f64,
}

/// Whether any of a pipeline's places is in AWS.
pub(crate) fn is_in_aws(plan: &Plan) -> bool {
    let layers = [&plan.lake.bronze, &plan.lake.silver, &plan.lake.gold];
    plan.queue.url.is_some() || layers.into_iter().any(|layer| matches!(layer, Location::Remote(_)))
}

impl Cost {
    /// The cost of a month with so many records, or as many as the schedule takes; none for a pipeline that is not all in AWS.
    pub(crate) fn of(file: &PipelineFile, layout: impl Into<Layout>, records: Option<u64>) -> Option<Self> {
        let plan = &file.plan;
        let deployment = Deployment::look(plan, layout).0?;
        let records = records.map_or_else(|| records_of(plan), |records| records as f64);
        let batch_size = plan.source.batch_size.get();
        let total_at_100 = deployment.month(records, LARGE).total;
        Some(Cost { month: deployment.month(records, batch_size), batch_size, total_at_100 })
    }

    /// The text for people, in a line or two.
    pub(crate) fn text(&self) -> String {
        let Month { records, services, total, prices } = &self.month;
        let parts: Vec<String> =
            services.iter().map(|share| format!("{} {}", share.service, money(share.dollars))).collect();
        let mut text = format!(
            "a month in AWS with {} records costs about {}: {} (list prices of {prices}; `--records-a-month` says another number)",
            grouped(*records),
            money(*total),
            parts.join(", ")
        );
        if *total > self.total_at_100 * MUCH && total - self.total_at_100 > LITTLE {
            text.push_str(&format!(
                "\n`batch_size = {}` costs {:.1} times as much as {LARGE}, which would come to {}",
                self.batch_size,
                total / self.total_at_100,
                money(self.total_at_100)
            ));
        }
        text
    }
}

/// Says on stderr what in the file does not go well with functions of Lambda.
pub(crate) fn warn(file: &PipelineFile, mode: Mode, context: &Context) -> anyhow::Result<()> {
    let told = if mode == Mode::Lambda { file.said.warnings(advice(&file.plan)) } else { None };
    if let Some(warnings) = told {
        context.output.notice(rendered(&warnings, context.output.stderr_color()).trim_end())?;
    }
    Ok(())
}

fn money(dollars: f64) -> String {
    format!("${dollars:.2}")
}

/// A count with commas between thousands.
fn grouped(count: f64) -> String {
    let digits = format!("{count:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use deploy::Share;

    use super::*;

    #[test]
    fn a_batch_size_that_costs_much_is_told_and_a_small_bill_is_not() {
        let cost = |total: f64, total_at_100: f64| {
            let month = Month {
                records: 1_234_567.0,
                services: vec![Share { service: "S3", dollars: total }],
                total,
                prices: "here",
            };
            Cost { month, batch_size: 1, total_at_100 }.text()
        };
        let much = cost(100.0, 20.0);
        assert!(much.contains("with 1,234,567 records costs about $100.00: S3 $100.00"), "{much}");
        assert!(much.contains("`batch_size = 1` costs 5.0 times as much as 100, which would come to $20.00"), "{much}");
        assert!(!cost(0.5, 0.1).contains("times") && !cost(100.0, 90.0).contains("times"));
    }
}
