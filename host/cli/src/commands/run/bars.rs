//! Progress of a running tick on a terminal's stderr: a bar for Bronze and one for Silver.
//!
//! Does not decide when a run is done.

use std::sync::Arc;
use std::time::Duration;

use engine::drivers::service::Service;
use engine::progress::Progress;
use indicatif::ProgressBar;
use tokio::task::JoinHandle;

use crate::context::Context;

const REDRAW: Duration = Duration::from_millis(100);

/// The bars of one pipeline.
pub(crate) struct Bars {
    bars: [ProgressBar; 2],
    painter: JoinHandle<()>,
}

impl Bars {
    /// Shows the bars and keeps them moving.
    pub(crate) fn show(service: &Service, pipeline: &str, context: &Context) -> Self {
        let bar = |layer: &str| context.output.bar(Some(0), format!("{pipeline} {layer}"));
        let bars = [bar("bronze"), bar("silver")];
        let painter = tokio::spawn(paint(bars.clone(), Arc::clone(&service.progress)));
        Bars { bars, painter }
    }

    /// Takes them away.
    pub(crate) fn finish(self) {
        self.painter.abort();
        for bar in self.bars {
            bar.finish_and_clear();
        }
    }
}

async fn paint(bars: [ProgressBar; 2], progress: Arc<Progress>) {
    let names = bars.each_ref().map(ProgressBar::message);
    loop {
        let total = Progress::get(&progress.taken);
        for ((bar, name), done) in bars.iter().zip(&names).zip([&progress.enriched, &progress.cleaned]) {
            bar.set_length(total);
            bar.set_position(Progress::get(done).min(total));
            match progress.waiting_for() {
                Some(reason) => bar.set_message(format!("{name} (paused: {reason})")),
                None => bar.set_message(name.clone()),
            }
        }
        tokio::time::sleep(REDRAW).await;
    }
}
