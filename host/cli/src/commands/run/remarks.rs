//! What may surprise a user who has fired a tick by hand: how much of the source was taken, and that a tick that ran before does not read the
//! source again. Each remark names the command that does what the user meant.
//!
//! Does not find it out: `engine::roles::ingest` and `engine::stale` do.

use engine::roles::ingest::{Already, Fired, SourceNow};
use engine::stale::Stale;

use crate::output::{Tone, counted, grouped};
use crate::pipelines::PipelineFile;

/// The request, as far as its result may surprise.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `[source] top_n`, if the file sets it.
    top_n: Option<usize>,
    /// How many records a tick takes.
    most: usize,
    /// The pipeline file's name for a command; empty for the usual name.
    file: String,
}

impl Asked {
    pub(super) fn of(file: &PipelineFile) -> Self {
        let most = file.plan.source.top_n.get();
        let said = file.said.says("source.top_n");
        let name = file.path.to_string_lossy();
        let file = if name == "pipeline.toml" { String::new() } else { format!(" {name}") };
        Asked { top_n: said.then_some(most), most, file }
    }

    /// `10 of 5,166 records (`top_n` is not set: 10)`.
    pub(super) fn taken(&self, fired: &Fired) -> String {
        let taken = fired.records + fired.forgotten;
        match fired.total {
            Some(total) if total > taken && taken >= self.most => {
                let why = match self.top_n {
                    Some(most) => format!("`top_n = {most}`"),
                    None => format!("`top_n` is not set: {}", self.most),
                };
                format!("{} of {} records ({why})", grouped(fired.records), grouped(total))
            }
            _ => {
                let unit = if fired.records == 1 { "record" } else { "records" };
                format!("{} {unit}", grouped(fired.records))
            }
        }
    }

    /// Further remarks, each with what helps.
    pub(super) fn remarks(&self, fired: &Fired, stale: &Stale) -> Vec<(Tone, String)> {
        let mut all = Vec::new();
        if let Some(already) = &fired.already {
            all.push(self.ran_already(fired, already));
        } else if fired.total == Some(0) {
            let what = format!(
                "the source holds no record, so nothing was taken\n  hint: when it does, read it with `{}`",
                self.again()
            );
            all.push((Tone::Notable, what));
        }
        all.extend(fired.notices.iter().map(|notice| (Tone::Notable, notice.clone())));
        if fired.not_numbers > 0 {
            let values = counted(fired.not_numbers, "value", "values");
            all.push((
                Tone::Notable,
                format!("{values} of the `order_by` column are no numbers: they come behind all numbers"),
            ));
        }
        if let Some(at) = fired.otherwise {
            let what = format!(
                "this tick ran before with other `[source]` settings, at {}: of a record that both have brought, either version may stand\n  hint: `{}` reads the source as it is now, and what that brings stands",
                at.format("%Y-%m-%d %H:%M:%S UTC"),
                self.again()
            );
            all.push((Tone::Notable, what));
        }
        if let Some(later) = fired.later {
            let what = format!(
                "tick {later} is in the lake and later than this one: of a record that both have brought, its version stands\n  hint: `{}` reads the source as the latest tick",
                self.again()
            );
            all.push((Tone::Notable, what));
        }
        if fired.forgotten > 0 {
            let records = counted(fired.forgotten, "record was", "records were");
            all.push((Tone::Faint, format!("{records} left out: their keys stay forgotten")));
        }
        for (count, stage) in [(stale.enrich, "enrich"), (stale.clean, "clean")] {
            if count > 0 {
                let records = counted(count, "record was", "records were");
                let what = format!(
                    "{records} made by another version or configuration of the {stage} plugin\n  hint: `sluicebox replay{} --stale` makes them again",
                    self.file
                );
                all.push((Tone::Notable, what));
            }
        }
        all
    }

    fn ran_already(&self, fired: &Fired, already: &Already) -> (Tone, String) {
        let when = already.at.map(|at| format!(" at {}", at.format("%Y-%m-%d %H:%M:%S UTC"))).unwrap_or_default();
        let (tone, source) = match already.source {
            SourceNow::Changed => (Tone::Bad, "has changed since, and was NOT read again"),
            SourceNow::Unchanged => (Tone::Notable, "was not read again; it has not changed since"),
            SourceNow::Unknown => (Tone::Notable, "was not read again"),
        };
        let what = if fired.queued > 0 {
            let left = counted(fired.queued, "message", "messages");
            format!("this tick was begun{when}, and {left} of it were left to do; the source {source}")
        } else {
            format!("this tick ran already{when}; the source {source}")
        };
        (tone, format!("{what}\n  hint: `{}` reads it again", self.again()))
    }

    /// The command that reads the source again.
    fn again(&self) -> String {
        format!("sluicebox run{} --once --tick now", self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::keys::Tick;

    fn fired(records: usize, total: Option<usize>) -> Fired {
        Fired {
            tick: Tick::parse("20260101T030000Z").unwrap(),
            records,
            messages: 1,
            queued: 0,
            refused: 0,
            total,
            not_numbers: 0,
            notices: Vec::new(),
            forgotten: 0,
            already: None,
            otherwise: None,
            later: None,
        }
    }

    fn asked(top_n: Option<usize>, most: usize) -> Asked {
        Asked { top_n, most, file: String::new() }
    }

    #[test]
    fn a_default_that_leaves_records_out_is_told() {
        let text = asked(None, 10).taken(&fired(10, Some(5_166)));
        assert_eq!(text, "10 of 5,166 records (`top_n` is not set: 10)");
        assert_eq!(asked(Some(10), 10).taken(&fired(10, Some(5_166))), "10 of 5,166 records (`top_n = 10`)");
        assert_eq!(asked(None, 10).taken(&fired(9, Some(9))), "9 records");
        assert_eq!(asked(None, 10).taken(&fired(1, None)), "1 record");
    }

    #[test]
    fn a_tick_that_ran_before_says_so_and_how_to_read_the_source_again() {
        let already = Some(Already { at: None, source: SourceNow::Changed });
        let remarks = asked(None, 10).remarks(&Fired { already, ..fired(3, None) }, &Stale::default());
        let (tone, text) = &remarks[0];
        assert_eq!(*tone, Tone::Bad);
        assert!(text.contains("NOT read again") && text.contains("`sluicebox run --once --tick now`"), "{text}");
    }

    #[test]
    fn a_plugin_that_was_edited_names_the_replay() {
        let remarks = asked(None, 10).remarks(&fired(3, Some(3)), &Stale { clean: 2, enrich: 0 });
        assert!(remarks[0].1.contains("sluicebox replay --stale"), "{remarks:?}");
    }
}
