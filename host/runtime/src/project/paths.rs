//! JSON pointers as a tree, and the walk through a document that finds them all in one pass.
//!
//! The tree is no deeper than a descriptor may say (64 steps), and the walk no deeper than the tree: what is below is passed over flat.
//! Does not interpret the values: it returns their raw text.

use std::borrow::Cow;
use std::collections::HashMap;

use sonic_rs::{JsonValueTrait, LazyValue, ObjectJsonIter, to_object_iter};

/// Most children that are searched one by one.
const FEW: usize = 16;

/// Which values to find.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// Fields whose value this is.
    leaves: Vec<usize>,
    children: Vec<Child>,
    /// Which child has which key, where there are many.
    by_key: HashMap<String, usize>,
    /// Bit `n` is set if a child's key has `n` bytes (63: or more). Most other keys are passed over by it.
    lengths: u64,
}

#[derive(Debug)]
struct Child {
    key: String,
    paths: Paths,
}

impl Paths {
    /// The pointers of fields 0, 1, ….
    pub(super) fn new<'a>(pointers: impl Iterator<Item = &'a str>) -> Self {
        let mut root = Paths::default();
        for (field, pointer) in pointers.enumerate() {
            let segments = pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"));
            root.insert(segments, field);
        }
        root
    }

    fn insert(&mut self, mut segments: impl Iterator<Item = String>, field: usize) {
        let Some(key) = segments.next() else {
            self.leaves.push(field);
            return;
        };
        self.lengths |= length_bit(&key);
        if let Some(child) = self.children.iter_mut().find(|child| child.key == key) {
            return child.paths.insert(segments, field);
        }
        let mut paths = Paths::default();
        paths.insert(segments, field);
        self.children.push(Child { key, paths });
        if self.children.len() > FEW {
            for (at, child) in self.children.iter().enumerate().skip(self.by_key.len()) {
                self.by_key.insert(child.key.clone(), at);
            }
        }
    }

    /// The child of that key, first looked for where it is expected.
    fn child(&self, key: &str, next: usize) -> Option<usize> {
        if !self.by_key.is_empty() {
            return match self.children.get(next) {
                Some(child) if child.key == key => Some(next),
                _ => self.by_key.get(key).copied(),
            };
        }
        let (head, tail) = self.children.split_at_checked(next).unwrap_or((&self.children, &[]));
        let in_tail = tail.iter().position(|child| child.key == key).map(|at| at + next);
        in_tail.or_else(|| head.iter().position(|child| child.key == key))
    }

    /// Puts the raw text of each value that is present into `found`, by field. `Err` says why this is no JSON object.
    pub(super) fn find<'d>(&self, document: &'d [u8], found: &mut [Option<Cow<'d, str>>]) -> Result<(), String> {
        let text = std::str::from_utf8(document).map_err(|error| format!("document is not UTF-8: {error}"))?;
        let whole = text.trim_ascii();
        if !(whole.starts_with('{') && whole.ends_with('}')) {
            return Err("document is not a JSON object".to_owned());
        }
        self.put(Cow::Borrowed(whole), found);
        self.in_object(to_object_iter(whole), found)
            .map_err(|error| format!("document is not JSON: {}", first_line(&error)))
    }

    fn put<'d>(&self, raw: Cow<'d, str>, found: &mut [Option<Cow<'d, str>>]) {
        for field in &self.leaves {
            if let Some(slot) = found.get_mut(*field) {
                *slot = Some(raw.clone());
            }
        }
    }

    fn in_value<'d>(&self, value: LazyValue<'d>, found: &mut [Option<Cow<'d, str>>]) -> Result<(), sonic_rs::Error> {
        if !self.leaves.is_empty() {
            self.put(value.as_raw_cow(), found);
        }
        if self.children.is_empty() {
            return Ok(());
        }
        if value.is_array() {
            return self.in_array(value, found);
        }
        value.into_object_iter().map_or(Ok(()), |entries| self.in_object(entries, found))
    }

    /// Looks first where the last hit lets the next be expected: documents of one source have their keys in one order, and so have
    /// many descriptors.
    fn in_object<'d>(
        &self,
        entries: ObjectJsonIter<'d>,
        found: &mut [Option<Cow<'d, str>>],
    ) -> Result<(), sonic_rs::Error> {
        let (before, mut next) = (&self.children, 0);
        let mut seen = Seen::of(before.len());
        for entry in entries {
            let (key, value) = entry?;
            if self.lengths & length_bit(&key) == 0 {
                continue;
            }
            let Some(at) = self.child(&key, next) else { continue };
            if !seen.first(at) {
                continue;
            }
            next = at + 1;
            if let Some(child) = before.get(at) {
                child.paths.in_value(value, found)?;
            }
            if seen.all() {
                break;
            }
        }
        Ok(())
    }

    /// A key that is a number without leading zeros is an array's index.
    fn in_array<'d>(&self, value: LazyValue<'d>, found: &mut [Option<Cow<'d, str>>]) -> Result<(), sonic_rs::Error> {
        let Some(items) = value.into_array_iter() else { return Ok(()) };
        let mut wanted: Vec<(usize, &Paths)> =
            self.children.iter().filter_map(|child| Some((array_index(&child.key)?, &child.paths))).collect();
        wanted.sort_by_key(|(index, _)| *index);
        let mut wanted = wanted.into_iter().peekable();
        for (index, item) in items.enumerate() {
            let Some((next, _)) = wanted.peek() else { break };
            let item = item?;
            if *next == index
                && let Some((_, paths)) = wanted.next()
            {
                paths.in_value(item, found)?;
            }
        }
        Ok(())
    }
}

fn array_index(key: &str) -> Option<usize> {
    let canonical = key == "0" || !key.starts_with(['0', '+']);
    canonical.then(|| key.parse().ok()).flatten()
}

fn length_bit(key: &str) -> u64 {
    1 << key.len().min(63)
}

fn first_line(error: &sonic_rs::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Which children an object has shown. Without memory of its own for up to 64 of them.
struct Seen {
    few: u64,
    many: Vec<bool>,
    left: usize,
}

impl Seen {
    fn of(count: usize) -> Self {
        Seen { few: 0, many: if count > 64 { vec![false; count] } else { Vec::new() }, left: count }
    }

    /// Whether this is the first time that child `at` is shown.
    fn first(&mut self, at: usize) -> bool {
        let before = match self.many.get_mut(at) {
            Some(seen) => std::mem::replace(seen, true),
            None => {
                let bit = 1_u64.checked_shl(u32::try_from(at).unwrap_or(u32::MAX)).unwrap_or_default();
                let before = self.few & bit != 0;
                self.few |= bit;
                before
            }
        };
        if !before {
            self.left = self.left.saturating_sub(1);
        }
        !before
    }

    fn all(&self) -> bool {
        self.left == 0
    }
}
