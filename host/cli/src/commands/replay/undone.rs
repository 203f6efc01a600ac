//! What a replay was asked for and did not do: in words, and as an exit code.
//!
//! Does not find it out: the engine does.

use std::collections::BTreeMap;

use engine::drivers::service::Service;
use engine::replay::{Planned, Selection, Which};
use lake::quarantine::RefusedAt;

use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::{Tone, counted};

/// Refuses keys and ticks that do not occur in the lake: most likely they are mistyped.
pub(super) async fn refuse_unknown(service: &Service, selection: &Selection, planned: &Planned) -> anyhow::Result<()> {
    if let Some(unknown) = planned.unknown_keys.first() {
        let near = unknown.near.as_ref().map(|near| format!("did you mean `{near}`?"));
        let hint = near.unwrap_or_else(|| "`sluicebox records` lists the keys".to_owned());
        return Err(Failure::new(ExitCode::Usage, format!("the lake holds no record `{}`", unknown.key))
            .hint(hint)
            .into());
    }
    if let Some(run) = selection.run.filter(|_| planned.looked_at == 0) {
        let hint = match service.last_tick().await? {
            Some(last) => {
                format!("its latest tick is `{last}`; `sluicebox records --run TICK` lists what one has brought")
            }
            None => "the lake is empty: `sluicebox run --once` fires a tick".to_owned(),
        };
        return Err(Failure::new(ExitCode::Usage, format!("no record of tick `{run}` is in the lake"))
            .hint(hint)
            .into());
    }
    Ok(())
}

/// Whether all that was asked for is done.
pub(super) fn is_all_done(planned: &Planned, selection: &Selection) -> bool {
    let named = matches!(selection.which, Which::Quarantined(Some(_)));
    // Some records may rightly stay in quarantine; but if no record could be made again, nothing was done.
    let stays = !planned.stuck.is_empty() && (named || planned.records() == 0);
    planned.unanswered() == 0 && !stays
}

/// The records that stay undone, why, and what helps.
pub(super) fn text(planned: &Planned, context: &Context) -> String {
    let mut text = String::new();
    let bad = |what: String| context.output.tone(Tone::Bad, &what);
    if planned.unanswered() > 0 {
        let refused = counted(planned.unanswered(), "refused record", "refused records");
        text.push_str(&bad(format!(
            "{refused} cannot be made again from what is kept: no answer of the service to them is"
        )));
        text.push_str("\n  hint: `sluicebox quarantine replay --fetch` asks the service again\n");
    }
    let mut by_reason: BTreeMap<(&str, RefusedAt), usize> = BTreeMap::new();
    for one in &planned.stuck {
        *by_reason.entry((one.why, one.stage)).or_default() += 1;
    }
    for ((why, stage), count) in by_reason {
        let stay = if count == 1 { "stays" } else { "stay" };
        let records = counted(count, "record", "records");
        text.push_str(&bad(format!("{records} refused at {} {stay} in quarantine: {why}", stage.name())));
        let again = "`sluicebox run --once --tick now` reads the source again";
        let next = if stage == RefusedAt::Ingest { again } else { "`sluicebox quarantine ls` lists them" };
        text.push_str(&format!("\n  hint: {next}\n"));
    }
    text
}
