//! Everything that a start or a first tick would refuse, found without changing anything: the checks of `check` and `doctor`.
//!
//! Does not have rules of its own: the code of a run loads the plugins, opens the tables and reads the source. Only writes
//! stay in memory, and a temporary file shows whether a folder can be written to.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::progress::Progress;
use engine::roles::ingest::{Ingest, ReadBy};
use lake::gold::Gold;
use lake::silver::Silver;
use lake::{Lake, identity};
use local::{ClosedQueue, QueueView, ViewStore};
use pipeline::plan::{Location, SecretRef};

use crate::compose::{Shared, look_at_lake, secrets, source};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::{hint_of, in_a_line};
use crate::load::{CannotLoad, Loaded, Loading, load};
use crate::pipelines::{PipelineFile, queue_path};

/// One thing that was checked.
#[derive(Debug)]
pub(crate) struct Looked {
    /// Its name, as in `layer silver`.
    pub(crate) about: String,
    /// What must hold.
    pub(crate) promise: &'static str,
    /// What is wrong with it; nothing runs until that is fixed.
    pub(crate) wrong: Vec<Wrong>,
    /// Findings that may be intended.
    pub(crate) notes: Vec<Wrong>,
}

/// What is wrong, and what to do.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Wrong {
    pub(crate) place: String,
    pub(crate) code: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The exit code of a command that finds only this.
    #[serde(skip)]
    exit: ExitCode,
}

impl Wrong {
    /// With the error's own hint, or `fix` if it has none.
    fn of(place: &str, error: &anyhow::Error, fix: Option<&str>) -> Self {
        let text = in_a_line(error);
        let (message, told) = split_hint(&text);
        let hint = told.or_else(|| hint_of(error).map(str::to_owned)).or_else(|| fix.map(str::to_owned));
        Wrong { place: place.to_owned(), code: None, message, hint, exit: crate::failure::code_of(error) }
    }

    /// For people: indented by two, with the hint below.
    pub(crate) fn text(&self) -> String {
        let code = self.code.map(|code| format!(" [{code}]")).unwrap_or_default();
        let hint = self.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
        format!("{}{code}: {}{hint}", self.place, self.message.replace('\n', "\n  "))
    }
}

/// A message and the hint in its last line.
fn split_hint(text: &str) -> (String, Option<String>) {
    match text.rsplit_once("hint: ") {
        Some((message, hint)) if message.trim_end_matches(' ').ends_with('\n') && !message.contains("hint: ") => {
            (message.trim_end().to_owned(), Some(hint.trim().to_owned()))
        }
        _ => (text.to_owned(), None),
    }
}

/// How far the checks reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This machine.
    Here,
    /// Also places that need a call.
    Anywhere,
}

/// Checks everything that a run needs.
pub(crate) async fn examine(file: &PipelineFile, shared: &Shared, context: &Context, reach: Reach) -> Examined {
    let mut looked = layers(file);
    // A lake without a place is not checked further: the same error would only repeat.
    let has_place = looked.iter().all(|layer| layer.wrong.is_empty());
    looked.push(queue(file, shared).await);
    let lake = if has_place { look_at_lake(file, &shared.remote).await } else { empty_lake(file) };
    let is_here = has_place && (reach == Reach::Anywhere || !has_remote_layer(file));
    if is_here {
        looked.push(owner(file, &lake, shared).await);
    }
    let loading = Loading { lake: is_here.then_some(&lake), ..Loading::by_files(file, shared) };
    let loaded = load(loading).await;
    let mut plugins =
        Looked { about: "plugins".into(), promise: "load, and fit each other", wrong: Vec::new(), notes: Vec::new() };
    let loaded = match loaded {
        Ok(loaded) => {
            plugins.notes.extend(loaded.aside.ignored.iter().map(|one| Wrong {
                place: format!("stage {}", one.stage),
                code: Some(one.code),
                message: one.message.clone(),
                hint: Some(one.hint.clone()),
                exit: ExitCode::Success,
            }));
            Some(loaded)
        }
        Err(error) => {
            plugins.wrong.extend(of_loading(&error));
            None
        }
    };
    looked.insert(0, plugins);
    if let Some(loaded) = &loaded
        && is_here
    {
        looked.extend(tables(file, loaded, &lake, shared).await);
    }
    if reach == Reach::Anywhere || matches!(file.plan.source.location, Location::Local(_)) {
        looked.push(records(file, loaded.as_ref(), &lake, shared).await);
    }
    looked.extend(secrets_of(file, shared, context, reach).await);
    Examined { looked, loaded }
}

/// What was checked, and the plugins if they can be loaded.
pub(crate) struct Examined {
    pub(crate) looked: Vec<Looked>,
    pub(crate) loaded: Option<Loaded>,
}

impl Examined {
    /// Everything wrong.
    pub(crate) fn wrong(&self) -> impl Iterator<Item = &Wrong> {
        self.looked.iter().flat_map(|one| &one.wrong)
    }

    /// All findings that may be intended.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &Wrong> {
        self.looked.iter().flat_map(|one| &one.notes)
    }

    /// The exit code of a command that refuses for this; none if nothing is wrong.
    pub(crate) fn exit(&self) -> Option<ExitCode> {
        let codes: Vec<ExitCode> = self.wrong().map(|wrong| wrong.exit).collect();
        let first = *codes.first()?;
        // One fault of the file is enough to blame the file.
        Some(if codes.contains(&ExitCode::Usage) { ExitCode::Usage } else { first })
    }
}

fn of_loading(error: &anyhow::Error) -> Vec<Wrong> {
    let troubles = error.chain().find_map(|cause| cause.downcast_ref::<CannotLoad>());
    let Some(CannotLoad(troubles)) = troubles else { return vec![Wrong::of("plugins", error, None)] };
    let wrong = troubles.iter().map(|trouble| Wrong {
        place: trouble.place.clone(),
        code: trouble.code,
        message: trouble.message.clone(),
        hint: trouble.hint.clone(),
        exit: ExitCode::Usage,
    });
    wrong.collect()
}

/// An empty lake.
fn empty_lake(file: &PipelineFile) -> Lake {
    let empty = ViewStore::of_nothing;
    Lake { bronze: empty(), silver: empty(), gold: empty(), buckets: file.plan.lake.buckets }
}

fn has_remote_layer(file: &PipelineFile) -> bool {
    let lake = &file.plan.lake;
    [&lake.bronze, &lake.silver, &lake.gold].into_iter().any(|layer| matches!(layer, Location::Remote(_)))
}

/// Whether the lake is this pipeline's: claimed as a run claims it, but in memory.
async fn owner(file: &PipelineFile, lake: &Lake, shared: &Shared) -> Looked {
    let claimed = identity::claim(lake, &file.plan.name, shared.clock().now()).await;
    let wrong = claimed.err().map(|error| Wrong { exit: ExitCode::Wrong, ..Wrong::of("lake", &error.into(), None) });
    Looked {
        about: "lake".into(),
        promise: "is this pipeline's",
        wrong: wrong.into_iter().collect(),
        notes: Vec::new(),
    }
}

/// Whether the layers on this machine can be written to.
fn layers(file: &PipelineFile) -> Vec<Looked> {
    let lake = &file.plan.lake;
    let places = [("bronze", &lake.bronze), ("silver", &lake.silver), ("gold", &lake.gold)];
    let local = places.into_iter().filter_map(|(name, place)| match place {
        Location::Local(path) => Some((name, file.folder.join(path))),
        Location::Remote(_) => None,
    });
    let looked = local.map(|(name, path)| {
        let about = format!("layer {name}");
        let wrong = unwritable(&path).map(|why| Wrong {
            place: about.clone(),
            code: None,
            message: why,
            hint: Some(format!("name another folder as `{name}` under `[lake]`, or let who runs this write there")),
            exit: ExitCode::Wrong,
        });
        Looked { about, promise: "can be written to", wrong: wrong.into_iter().collect(), notes: Vec::new() }
    });
    looked.collect()
}

/// Whether the embedded queue is one, and can be written to.
async fn queue(file: &PipelineFile, shared: &Shared) -> Looked {
    let mut looked =
        Looked { about: "queue".into(), promise: "can be written to", wrong: Vec::new(), notes: Vec::new() };
    if file.plan.queue.url.is_some() {
        return looked;
    }
    let path = queue_path(&file.plan, &file.folder);
    let folder = path.parent().unwrap_or(&file.folder);
    let message = match unwritable(folder) {
        Some(why) => Some(why),
        None if path.exists() => match std::fs::OpenOptions::new().append(true).open(&path) {
            Err(error) => Some(format!("cannot write to `{}`: {error}", path.display())),
            Ok(_) => {
                let view = QueueView::of(&path, "enrich", Arc::clone(&shared.clock));
                view.examine().await.err().map(|error| error.to_string())
            }
        },
        None => None,
    };
    looked.wrong.extend(message.map(|message| Wrong {
        place: "queue".to_owned(),
        code: None,
        message,
        hint: Some(format!(
            "let who runs this write to `{}`, or name another queue by `url` under `[queue]`",
            folder.display()
        )),
        exit: ExitCode::Wrong,
    }));
    looked
}

/// Why nothing can be written into a folder, which may not exist yet. Leaves nothing behind.
fn unwritable(folder: &Path) -> Option<String> {
    let shown = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    for place in folder.ancestors().map(shown) {
        match std::fs::metadata(&place) {
            Ok(found) if found.is_dir() => {
                let tried = tempfile::Builder::new().prefix(".sluicebox-").tempfile_in(&place);
                return tried.err().map(|error| format!("cannot write to `{}`: {}", place.display(), reason(&error)));
            }
            Ok(_) => return Some(format!("`{}` is a file, expected a folder", place.display())),
            // A dangling link is no folder that could be made.
            Err(error) if error.kind() == ErrorKind::NotFound && place.is_symlink() => {
                return Some(format!("`{}` is a link to something that is not there", place.display()));
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Some(format!("cannot look at `{}`: {error}", place.display())),
        }
    }
    None
}

/// The text without the name of the temporary file.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        ErrorKind::StorageFull => "no space is left".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether the existing tables accept the plugins' columns, and new tables could be made of them: opened as a run opens them.
pub(crate) async fn tables(file: &PipelineFile, loaded: &Loaded, lake: &Lake, shared: &Shared) -> Vec<Looked> {
    let fix = "see `sluicebox explain-error P041`";
    let told = |about: String, opened: Option<anyhow::Error>| {
        let wrong = opened.map(|error| Wrong {
            code: Some("P041"),
            exit: ExitCode::Wrong,
            ..Wrong::of(&about, &error, Some(fix))
        });
        Looked { about, promise: "takes the plugin's columns", wrong: wrong.into_iter().collect(), notes: Vec::new() }
    };
    let (plugin, clock) = (&loaded.clean.0, &shared.clock);
    let schema = plugin.descriptor().output_schema();
    let silver = Silver::open(Arc::clone(&lake.silver), Arc::clone(clock), schema, lake.buckets).await;
    let mut looked = vec![told("table silver".to_owned(), silver.err().map(Into::into))];
    for (aggregate, (plugin, _)) in file.plan.aggregates.iter().zip(&loaded.aggregates) {
        let schema = plugin.descriptor().output_schema();
        let gold = Gold::open(Arc::clone(&lake.gold), Arc::clone(clock), &aggregate.name, schema).await;
        looked.push(told(format!("table gold {}", aggregate.name), gold.err().map(Into::into)));
    }
    looked
}

/// Whether the source can be read as a tick reads it, and has the needed columns.
async fn records(file: &PipelineFile, loaded: Option<&Loaded>, lake: &Lake, shared: &Shared) -> Looked {
    let ingest = Ingest {
        pipeline: file.plan.name.clone(),
        source: file.plan.source.clone(),
        place: source(file, shared),
        reads: loaded.map(|loaded| ReadBy::new(loaded.reader())).unwrap_or_default(),
        lake: lake.clone(),
        queue: Arc::new(ClosedQueue::because("the queue is only looked at")),
        clock: Arc::clone(&shared.clock),
        progress: Arc::new(Progress::default()),
    };
    let mut looked = Looked { about: "source".into(), promise: "can be read", wrong: Vec::new(), notes: Vec::new() };
    match ingest.look().await {
        Ok((_, missing)) => looked.notes.extend(missing.into_iter().map(|one| Wrong {
            place: "source".to_owned(),
            code: None,
            message: one.message,
            hint: Some(one.hint),
            exit: ExitCode::Success,
        })),
        Err(failure) => {
            let fix = "correct `uri` under `[source]`, or put the source there";
            let wrong = Wrong::of("source", &failure.into(), Some(fix));
            looked.wrong.push(Wrong { exit: ExitCode::Wrong, ..wrong });
        }
    }
    looked
}

/// Whether the secrets can be read. A run would rest until they can, so a missing one is reported but refuses nothing here.
async fn secrets_of(file: &PipelineFile, shared: &Shared, context: &Context, reach: Reach) -> Vec<Looked> {
    let places = secrets(file, shared, context);
    let mut looked = Vec::new();
    for (name, reference) in &file.plan.secrets {
        if reach == Reach::Here && matches!(reference, SecretRef::AwsSecretsManager { .. }) {
            continue;
        }
        let about = format!("secret {name}");
        let fix = "put it there, or let who runs the pipeline read it: until then a run waits";
        let note = places.get(reference).await.err().map(|error| Wrong::of(&about, &error.into(), Some(fix)));
        looked.push(Looked { about, promise: "can be read", wrong: Vec::new(), notes: note.into_iter().collect() });
    }
    looked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_can_be_made_is_fine_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(unwritable(&folder.path().join("lake/bronze")), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_or_a_dead_link_in_the_way_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lake"), "").unwrap();
        let why = unwritable(&folder.path().join("lake/bronze")).unwrap();
        assert!(why.ends_with("lake` is a file, expected a folder"), "{why}");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
            assert!(unwritable(&folder.path().join("link/bronze")).unwrap().contains("is a link"));
        }
    }

    #[test]
    fn a_hint_in_the_last_line_is_told_apart() {
        assert_eq!(split_hint("it broke\n  hint: mend it"), ("it broke".into(), Some("mend it".into())));
        assert_eq!(split_hint("it broke").1, None);
        assert_eq!(split_hint("no\nhint: a\nno\nhint: b").1, None, "several are not one");
    }
}
