//! What all pipelines of a process share: adapters, roles, and permissions.
//!
//! Does not hold anything of one pipeline: that is made from its plan.

use std::sync::Arc;

use aws::NotifiedQueue;
use local::{HttpOptions, ReqwestHttp, SystemClock};
use pipeline::plan::{Location, Plan};
use pipeline::role::Role;
use runtime::WasmPlugins;
use seams::clock::Clock;
use seams::http::Http;
use seams::queue::Queue;

use super::remote::Remote;
use super::uses::Uses;
use crate::context::Context;
use crate::pipelines::PipelineFile;
use crate::plugins::component;
use crate::redact::{Redactor, register_place};

/// What all pipelines of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Runs guests.
    pub(crate) plugins: WasmPlugins,
    pub(crate) clock: Arc<dyn Clock>,
    pub(super) http: Arc<dyn Http>,
    /// The clients for what is not on this machine.
    pub(crate) remote: Remote,
    /// Whether S3 itself notifies a stage of the new objects of the stage before.
    pub(crate) notified: bool,
    /// Whether Lambda delivers this process its messages: then a queue is opened only to send to it, which may never happen.
    pub(crate) handed: bool,
    /// Knows every secret of this process, so that no output holds one.
    pub(super) redactor: Redactor,
    /// The roles of this process. Tables of other roles are opened at first use, which may never come.
    pub(crate) roles: Vec<Role>,
    /// Shows other processes that this one works on pipelines.
    pub(super) uses: Uses,
}

impl Shared {
    /// The adapters of this process.
    pub(crate) fn new(files: &[PipelineFile], context: &Context) -> anyhow::Result<Self> {
        files.iter().for_each(|file| register_place(&context.redactor, &file.plan.source.location));
        Ok(Shared {
            redactor: context.redactor.clone(),
            plugins: component::runtime(context)?,
            clock: Arc::new(SystemClock),
            http: Arc::new(ReqwestHttp::new(HttpOptions::default())),
            remote: Remote::default(),
            notified: false,
            handed: false,
            roles: Role::ALL.to_vec(),
            uses: Uses::default(),
        })
    }

    /// The queue by which a stage learns of the output of the stage before.
    pub(super) fn told(&self, queue: &Arc<dyn Queue>) -> Arc<dyn Queue> {
        if self.notified { Arc::new(NotifiedQueue::new(Arc::clone(queue))) } else { Arc::clone(queue) }
    }

    /// Whether this process may write to every layer of the plan's lake. A function, or a process in AWS with only some of the roles, may not.
    pub(crate) fn writes_all(&self, plan: &Plan) -> bool {
        let places = &plan.lake;
        let afar = [&places.bronze, &places.silver, &places.gold].iter().any(|one| matches!(one, Location::Remote(_)));
        !self.handed && (!afar || Role::ALL.iter().all(|role| self.serves(*role)))
    }

    /// Whether this process has the role.
    pub(crate) fn serves(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The time.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}
