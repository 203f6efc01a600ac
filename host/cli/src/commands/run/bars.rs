//! Progress of a running tick on a terminal's stderr: a bar for Bronze and one for Silver.
//!
//! Counts in the lake, so that the work of other hosts shows as well. Does not decide when a run is done.

use std::time::Duration;

use engine::drivers::done::how_far;
use engine::drivers::service::Service;
use engine::progress::Progress;
use indicatif::ProgressBar;
use records::keys::Tick;
use tokio::task::JoinHandle;

use crate::context::Context;

const REDRAW: Duration = Duration::from_millis(100);
/// After so many redraws the bars read the lake: each read lists all objects of the tick.
const LOOK_EVERY: u32 = 20;

/// The bars of one pipeline.
pub(crate) struct Bars {
    bars: [ProgressBar; 2],
    painter: Option<JoinHandle<()>>,
}

impl Bars {
    /// Shows the bars of a tick and keeps them moving. Without a terminal it reads nothing.
    pub(crate) fn show(service: &Service, tick: Tick, pipeline: &str, context: &Context) -> Self {
        let bars = ["bronze", "silver"].map(|layer| context.output.bar(None, format!("{pipeline} {layer}")));
        let seen = !context.output.progress().is_hidden();
        let painter = seen.then(|| tokio::spawn(paint(bars.clone(), service.clone(), tick)));
        Bars { bars, painter }
    }

    /// Removes the bars.
    pub(crate) fn finish(self) {
        if let Some(painter) = self.painter {
            painter.abort();
        }
        for bar in self.bars {
            bar.finish_and_clear();
        }
    }
}

async fn paint(bars: [ProgressBar; 2], service: Service, tick: Tick) {
    let names = bars.each_ref().map(ProgressBar::message);
    let progress = &service.progress;
    let (mut of_lake, mut is_bar) = ([0, 0], false);
    for redraw in 0_u32.. {
        let total = Progress::get(&progress.taken);
        if total > 0 && redraw % LOOK_EVERY == 0 {
            let come = how_far(&service, tick).await.unwrap_or_default();
            of_lake = [come.enriched as u64, come.cleaned as u64];
        }
        // A bar without a length would look full.
        if total > 0 && !is_bar {
            bars.iter().for_each(|bar| bar.set_style(crate::output::bar_style()));
            is_bar = true;
        }
        let own = [&progress.enriched, &progress.cleaned].map(Progress::get);
        for (((bar, name), own), of_lake) in bars.iter().zip(&names).zip(own).zip(of_lake) {
            if total > 0 {
                bar.set_length(total);
            }
            bar.set_position(own.max(of_lake).min(total));
            match progress.waiting_for() {
                Some(reason) => {
                    bar.set_message(format!("{name} (paused: {})", reason.lines().next().unwrap_or_default()))
                }
                None => bar.set_message(name.clone()),
            }
        }
        tokio::time::sleep(REDRAW).await;
    }
}
