//! The four roles of a pipeline, by name. Does not know what a role does.

/// A part of a pipeline that can run in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Fires ticks.
    Ingest,
    /// Makes Bronze.
    Enrich,
    /// Makes Silver.
    Clean,
    /// Makes Gold.
    Aggregate,
}

impl Role {
    /// All roles, in the order in which records pass them.
    pub const ALL: [Role; 4] = [Role::Ingest, Role::Enrich, Role::Clean, Role::Aggregate];

    /// The role's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Ingest => "ingest",
            Role::Enrich => "enrich",
            Role::Clean => "clean",
            Role::Aggregate => "aggregate",
        }
    }
}
