//! What a deployment consists of, as options: how the roles run, which buckets exist, and for which processor.
//!
//! Does not build anything.

use deploy::{Arch, Layout, Mode};

/// What the roles run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ModeName {
    /// Functions of Lambda
    Lambda,
    /// Services of ECS on Fargate
    Ecs,
}

impl ModeName {
    pub(crate) fn mode(self) -> Mode {
        match self {
            ModeName::Lambda => Mode::Lambda,
            ModeName::Ecs => Mode::Ecs,
        }
    }
}

/// What runs, and what is there already.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Built {
    /// What the roles run as
    #[arg(long, value_enum, default_value_t = ModeName::Lambda)]
    mode: ModeName,

    /// The lake's buckets are there already: the stack makes none, and the roles tell each other what is new
    #[arg(long)]
    own_buckets: bool,

    /// With --mode ecs: a service for each role, in the place of one with all of them
    #[arg(long)]
    service_per_role: bool,
}

impl Built {
    pub(crate) fn layout(self) -> Layout {
        Layout { mode: self.mode.mode(), own_buckets: self.own_buckets, service_per_role: self.service_per_role }
    }
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ArchName {
    /// Intel's and AMD's
    #[value(name = "x86-64", alias = "x86_64")]
    X86_64,
    /// Graviton
    #[value(alias = "aarch64")]
    Arm64,
}

impl ArchName {
    /// This machine's.
    pub(super) const HERE: ArchName = if cfg!(target_arch = "aarch64") { ArchName::Arm64 } else { ArchName::X86_64 };

    /// The name in the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            ArchName::X86_64 => "x86-64",
            ArchName::Arm64 => "arm64",
        }
    }

    pub(super) fn arch(self) -> Arch {
        match self {
            ArchName::X86_64 => Arch::X86_64,
            ArchName::Arm64 => Arch::Arm64,
        }
    }
}
