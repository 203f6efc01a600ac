//! How a stack is laid out: how the roles run, what is shared, and what exists already.
//!
//! Does not name anything in an account.

use pipeline::role::Role;

/// How the roles run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A function for each role, invoked by a schedule and by the queues.
    Lambda,
    /// One service on Fargate, or one for each role, which takes from the queues by itself.
    Ecs,
}

/// What belongs to a stack alone, and how the roles are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How the roles run.
    pub mode: Mode,
    /// Whether the lake's buckets exist already. Then the stack makes none, and the roles notify each other.
    pub own_buckets: bool,
    /// Whether each role is a service of ECS; otherwise one service has all roles.
    pub service_per_role: bool,
}

impl From<Mode> for Layout {
    fn from(mode: Mode) -> Self {
        Layout { mode, own_buckets: false, service_per_role: false }
    }
}

impl Layout {
    /// Whether S3 notifies the queues. The roles of a server notify each other, and the stack cannot configure the notifications of a bucket
    /// that it did not make.
    pub fn notifies(self) -> bool {
        self.mode == Mode::Lambda && !self.own_buckets
    }

    /// The parts that run by themselves: name and roles.
    pub(super) fn units(self) -> Vec<(&'static str, &'static [Role])> {
        const ALL: &[Role] = &Role::ALL;
        if self.mode == Mode::Ecs && !self.service_per_role {
            return vec![("all", ALL)];
        }
        ALL.iter().map(|role| (role.name(), std::slice::from_ref(role))).collect()
    }
}
