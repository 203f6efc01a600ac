//! Which version of a plugin serves a stage: not always the published one, which may have been refused.
//!
//! Does not ask a running host: the lake records what hosts did with a published version, and the stage's history holds the version that last
//! made something.

use std::collections::BTreeMap;

use engine::drivers::service::Service;
use lake::generations::Generations;
use lake::swaps::{self, Event, Happened, Version};
use lake::{Lake, LakeError};
use seams::plugin::PluginStamp;

use crate::compose::Looked;
use crate::output::short_digest;

/// The version that serves a stage.
#[derive(Clone, Debug)]
pub(crate) struct Serves {
    /// The published version, if it can be loaded.
    pub(crate) published: Option<Version>,
    /// The version that serves; none if nothing has served yet and the published version cannot.
    pub(crate) version: Option<Version>,
    /// Why the published version does not serve, if it does not.
    pub(crate) but: Option<String>,
}

impl Serves {
    /// The version that serves each stage of a service that was opened for looking only. If the lake cannot be read, the file decides.
    pub(crate) async fn all(looked: &Looked) -> BTreeMap<String, Serves> {
        let mut all = BTreeMap::new();
        for (stage, version) in versions(&looked.service) {
            let absent = looked.absent.iter().find(|(absent, _)| *absent == stage);
            let published = absent.is_none().then_some(version);
            let cannot = absent.map(|(_, why)| format!("it cannot be loaded: {why}"));
            let fallback = Serves { published: published.clone(), version: published.clone(), but: cannot.clone() };
            let lake = &looked.service.enrich.lake;
            all.insert(stage.clone(), Serves::of(lake, &stage, published, cannot).await.unwrap_or(fallback));
        }
        all
    }

    async fn of(
        lake: &Lake,
        stage: &str,
        published: Option<Version>,
        cannot: Option<String>,
    ) -> Result<Serves, LakeError> {
        let latest = Generations::of(lake, stage).latest().await?;
        let latest = latest.map(|one| Version { plugin: one.plugin, config: one.config });
        let events = swaps::events(lake, stage).await?;
        Ok(Serves::decide(latest, &events, published, cannot))
    }

    fn decide(latest: Option<Version>, events: &[Event], published: Option<Version>, cannot: Option<String>) -> Serves {
        let Some(wanted) = published else { return Serves { published: None, version: latest, but: cannot } };
        let same = |one: &Version| one.plugin.digest == wanted.plugin.digest && one.config == wanted.config;
        let last = events.iter().rev().find(|event| same(&event.version)).map(|event| &event.happened);
        let but = match last {
            _ if latest.as_ref().is_some_and(same) => None,
            Some(Happened::Refused { code, reason }) => {
                let code = code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
                Some(format!("it was not let in{code}: {reason}"))
            }
            Some(Happened::Compared { how }) => Some(format!("it is compared first, {how}")),
            Some(Happened::Promoted { .. } | Happened::Released | Happened::RolledBack(_)) | None => None,
        };
        match (but, latest) {
            // Before any version has served, a start takes the published one.
            (None, _) | (Some(_), None) => Serves { version: Some(wanted.clone()), published: Some(wanted), but: None },
            (but, latest) => Serves { published: Some(wanted), version: latest, but },
        }
    }

    /// A short note beside the serving version: a published version that does not serve.
    pub(crate) fn note(&self) -> String {
        match (&self.but, &self.published) {
            (None, _) => String::new(),
            (Some(_), Some(published)) => {
                format!("published {} does not serve", short_digest(&published.plugin.digest))
            }
            (Some(_), None) => "what is published cannot be loaded".to_owned(),
        }
    }
}

/// A plugin for people: its name and version and the first digits of its digest, or only the digits.
pub(crate) fn called(plugin: &PluginStamp) -> String {
    match plugin.name.as_str() {
        "?" => short_digest(&plugin.digest).to_owned(),
        name => format!("{name} {} ({})", plugin.version, short_digest(&plugin.digest)),
    }
}

/// The plugin of each stage.
pub(crate) fn plugins_of(service: &Service) -> Vec<(String, PluginStamp)> {
    versions(service).into_iter().map(|(stage, version)| (stage, version.plugin)).collect()
}

/// The plugin of each stage with its configuration.
fn versions(service: &Service) -> Vec<(String, Version)> {
    let enrich = service.enrich.plugin.as_deref().map(|plugin| {
        ("enrich".to_owned(), Version { plugin: PluginStamp::of(plugin), config: service.enrich.config.clone() })
    });
    let clean = Version { plugin: PluginStamp::of(&*service.clean.plugin), config: service.clean.config.clone() };
    let tables = service.aggregate.tables.iter().map(|table| {
        let version = Version { plugin: PluginStamp::of(&*table.plugin), config: table.config.clone() };
        (format!("aggregate {}", table.name), version)
    });
    enrich.into_iter().chain([("clean".to_owned(), clean)]).chain(tables).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn version(digest: &str) -> Version {
        let plugin = PluginStamp { name: "p".into(), version: "1.0.0".into(), digest: digest.into() };
        Version { plugin, config: "{}".into() }
    }

    fn event(digest: &str, happened: Happened) -> Event {
        Event { stage: "clean".into(), at: DateTime::UNIX_EPOCH, version: version(digest), happened }
    }

    fn refused() -> Happened {
        Happened::Refused { code: Some("P145".into()), reason: "worse".into() }
    }

    fn serves(latest: Option<&str>, events: &[Event], published: Option<&str>) -> (Option<String>, Option<String>) {
        let cannot = published.is_none().then(|| "gone".to_owned());
        let serves = Serves::decide(latest.map(version), events, published.map(version), cannot);
        (serves.version.map(|version| version.plugin.digest), serves.but)
    }

    #[test]
    fn a_refused_version_does_not_serve_and_the_one_before_does() {
        let (serves, but) = serves(Some("a"), &[event("b", refused())], Some("b"));
        assert_eq!((serves.as_deref(), but.as_deref()), (Some("a"), Some("it was not let in [P145]: worse")));
    }

    #[test]
    fn what_has_worked_since_it_was_refused_serves() {
        assert_eq!(serves(Some("b"), &[event("b", refused())], Some("b")), (Some("b".into()), None));
        let promoted = Happened::Promoted { summary: String::new() };
        let events = [event("b", refused()), event("b", promoted)];
        assert_eq!(serves(Some("a"), &events, Some("b")), (Some("b".into()), None));
        assert_eq!(serves(Some("a"), &[event("c", refused())], Some("b")), (Some("b".into()), None));
    }

    #[test]
    fn what_cannot_be_loaded_does_not_serve() {
        assert_eq!(serves(Some("a"), &[], None), (Some("a".into()), Some("gone".into())));
        assert_eq!(serves(None, &[], None), (None, Some("gone".into())));
    }
}
