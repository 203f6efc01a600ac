//! Kept answers: what a service said to a request, so that a replay, a diff or a retry calls no service.
//!
//! Answers that come at about the same time share one object, a pack. Earlier versions of the program kept each answer in its own object,
//! which can still be read. Does not decide which answers are worth keeping: `roles::enrich` does.

mod group;
mod index;
mod keeper;
mod kept;
mod objects;
mod pack;
mod past;
mod place;
mod shelf;

pub use group::{Active, Origin};
pub use keeper::{Asked, Keeper};
pub use kept::{AnswerId, Said};
pub use objects::{drop_indexes, in_object, kept_with_request, objects, retain, some};
pub use past::Past;
pub use place::AnswerAt;
