//! A plan with its places in AWS and its layout: the input of every part of a template.
//!
//! Does not check that it can be deployed, and makes no part itself.

use pipeline::plan::Plan;

use super::layout::Layout;
use super::options::Options;
use super::places::Site;

/// A plan that can be deployed.
#[derive(Clone, Debug)]
pub struct Deployment<'p> {
    /// The plan that is deployed.
    pub plan: &'p Plan,
    /// Where it is.
    pub site: Site,
    /// How it is laid out there.
    pub layout: Layout,
}

impl Deployment<'_> {
    /// The values that the program is given: those that were set for the template, and the place of the queues if the file names no account, so
    /// that no role has to ask for it.
    pub(super) fn set(&self, options: &Options) -> Vec<String> {
        let place = self.site.is_free.then(|| format!("queue.url=\"{}\"", self.site.queues()));
        options.set.iter().cloned().chain(place).collect()
    }
}
