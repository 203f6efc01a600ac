//! A plan with its places in AWS and its layout: what every part of a template is made from.
//!
//! Does not check that it can be deployed, and makes no part itself.

use pipeline::plan::Plan;

use super::layout::Layout;
use super::options::Options;
use super::places::Site;

/// A plan that can be deployed.
#[derive(Clone, Debug)]
pub struct Deployment<'p> {
    /// What is deployed.
    pub plan: &'p Plan,
    /// Where it is.
    pub site: Site,
    /// How it is laid out there.
    pub layout: Layout,
}

impl Deployment<'_> {
    /// What the program is told to set: what was set for the template, and where the queues are if the file says no account, so that no role
    /// has to ask for that.
    pub(super) fn set(&self, options: &Options) -> Vec<String> {
        let place = self.site.is_free.then(|| format!("queue.url=\"{}\"", self.site.queues()));
        options.set.iter().cloned().chain(place).collect()
    }
}
