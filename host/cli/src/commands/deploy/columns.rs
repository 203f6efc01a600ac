//! The columns of a pipeline's tables, as its plugins describe them.
//!
//! Does not fetch a plugin from S3 unless it is asked to: the output should depend on the project alone.

use deploy::Columns;
use pipeline::plan::{Location, PluginRef};

use crate::compose::Shared;
use crate::context::Context;
use crate::load::{Loading, load};
use crate::pipelines::PipelineFile;

/// The columns, or none if a plugin is elsewhere and may not be fetched.
pub(super) async fn columns(file: &PipelineFile, remote: bool, context: &Context) -> anyhow::Result<Columns> {
    let plan = &file.plan;
    let elsewhere = plan.stages().find(|(_, stage)| matches!(stage.plugin, PluginRef::File(Location::Remote(_))));
    if let Some((stage, settings)) = elsewhere.filter(|_| !remote) {
        context.output.notice(&format!(
            "the plugin of stage `{stage}` is not read, for it is at `{}`: tables get no columns, and there is no dashboard of QuickSight; \
             `--remote-plugins` reads it there",
            settings.plugin
        ))?;
        return Ok(Columns::default());
    }
    let shared = Shared::new(std::slice::from_ref(file), context)?;
    let loaded = load(Loading::by_files(file, &shared)).await?;
    let gold = plan.aggregates.iter().zip(&loaded.aggregates);
    Ok(Columns {
        silver: loaded.clean.0.descriptor().output.clone(),
        gold: gold.map(|(one, (plugin, _))| (one.name.clone(), plugin.descriptor().output.clone())).collect(),
    })
}
