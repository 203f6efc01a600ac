//! How a stack is laid out: what the roles run as, what is shared, and what somebody else has made already.
//!
//! Does not name anything in an account.

use pipeline::role::Role;

/// What the roles run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A function a role, invoked by a schedule and by the queues.
    Lambda,
    /// One service on Fargate, or one a role, which takes from the queues by itself.
    Ecs,
}

/// What a stack has of its own, and how the roles are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What the roles run as.
    pub mode: Mode,
    /// Whether the lake's buckets are somebody else's and there already. Then the stack makes none, and the roles tell each other what is new.
    pub own_buckets: bool,
    /// Whether each role is a service of ECS by itself; otherwise one service has them all.
    pub service_per_role: bool,
}

impl From<Mode> for Layout {
    fn from(mode: Mode) -> Self {
        Layout { mode, own_buckets: false, service_per_role: false }
    }
}

impl Layout {
    /// Whether S3 tells the queues what is new. A server's roles tell each other, and of a bucket that the stack did not make it cannot say
    /// what it tells.
    pub fn notifies(self) -> bool {
        self.mode == Mode::Lambda && !self.own_buckets
    }

    /// What runs by itself: its name, and the roles that it has.
    pub(super) fn units(self) -> Vec<(&'static str, &'static [Role])> {
        const ALL: &[Role] = &Role::ALL;
        if self.mode == Mode::Ecs && !self.service_per_role {
            return vec![("all", ALL)];
        }
        ALL.iter().map(|role| (role.name(), std::slice::from_ref(role))).collect()
    }
}
