//! What the queue file holds, and each operation on a message as one statement or two.
//!
//! Does not open transactions: `writer` runs these functions inside of one.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use records::keys::fingerprint;
use rusqlite::{Connection, OptionalExtension, Result, params};
use seams::queue::{Delivery, Depth, Receipt};

/// Version of the tables, kept in the file's `user_version`.
pub(super) const VERSION: i64 = 4;

/// One row is one message. It is in flight while `receipt` is set and `visible_at` (µs since 1970) has not come; ready once
/// `visible_at` has come, even if it was delivered before. `sent_at` is never changed. `digest` finds equal bodies.
pub(super) const TABLES: &str = "
    CREATE TABLE messages (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        queue       TEXT    NOT NULL,
        visible_at  INTEGER NOT NULL,
        receives    INTEGER NOT NULL DEFAULT 0,
        receipt     TEXT,
        body        BLOB    NOT NULL,
        sent_at     INTEGER NOT NULL DEFAULT 0,
        digest      TEXT    NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX by_visibility ON messages (queue, visible_at, id, receipt);
    CREATE INDEX by_digest ON messages (queue, digest);
    CREATE TABLE clock (seen INTEGER NOT NULL) STRICT;
    INSERT INTO clock VALUES (0);
";

/// From version 3, which did not know the clock's latest instant.
pub(super) const FROM_VERSION_3: &str = "
    CREATE TABLE clock (seen INTEGER NOT NULL) STRICT;
    INSERT INTO clock VALUES (0);
";

/// A clock that goes back by less (µs) is only being synchronised.
const SET_BACK: i64 = 5_000_000;

/// By how much (µs) the clock was set back since the last write, if so.
pub(super) fn set_back(db: &Connection, now: i64) -> Result<Option<i64>> {
    let seen: i64 = db.prepare_cached("SELECT seen FROM clock")?.query_row([], |row| row.get(0))?;
    Ok(Some(seen.saturating_sub(now)).filter(|back| *back > SET_BACK))
}

/// Remembers the instant of a write.
fn see(db: &Connection, now: i64) -> Result<()> {
    db.prepare_cached("UPDATE clock SET seen = ?1 WHERE seen < ?1")?.execute([now]).map(drop)
}

/// Moves waiting messages by as much as the clock was set back, so that they wait as long as intended; returns that span, if any.
fn follow(db: &Connection, now: i64) -> Result<Option<i64>> {
    let Some(back) = set_back(db, now)? else { return Ok(None) };
    db.execute("UPDATE messages SET visible_at = visible_at - ?1 WHERE visible_at > ?2", [back, now])?;
    db.execute("UPDATE clock SET seen = ?1", [now])?;
    Ok(Some(back))
}

/// From version 1, which did not know when a message was sent: at the latest when it was last ready.
pub(super) const FROM_VERSION_1: &str = "
    ALTER TABLE messages ADD COLUMN sent_at INTEGER NOT NULL DEFAULT 0;
    UPDATE messages SET sent_at = visible_at;
";

/// From version 2, which could not find a message by its body.
pub(super) fn from_version_2(db: &Connection) -> Result<()> {
    db.execute_batch(
        "ALTER TABLE messages ADD COLUMN digest TEXT NOT NULL DEFAULT '';
         CREATE INDEX by_digest ON messages (queue, digest);",
    )?;
    let ids = db.prepare("SELECT id FROM messages")?.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>>>()?;
    let mut read = db.prepare("SELECT body FROM messages WHERE id = ?1")?;
    let mut write = db.prepare("UPDATE messages SET digest = ?2 WHERE id = ?1")?;
    for id in ids {
        let body: Vec<u8> = read.query_row([id], |row| row.get(0))?;
        write.execute(params![id, digest(&body)])?;
    }
    Ok(())
}

/// Whether another connection has locked the file.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}

/// Microseconds since 1970, as the tables store instants.
pub(super) fn micros(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_micros()
}

/// The value of `digest`.
fn digest(body: &[u8]) -> String {
    fingerprint(&[body])
}

/// A delivery that is being acknowledged, released or extended.
pub(super) struct Lease {
    queue: Arc<str>,
    id: i64,
    receipt: String,
    now: i64,
}

impl Lease {
    /// Reads a receipt, which is `ID-TOKEN`. One that this adapter did not write is `None`.
    pub(super) fn parse(queue: &Arc<str>, receipt: &Receipt, now: i64) -> Option<Self> {
        let (id, _) = receipt.0.split_once('-')?;
        Some(Lease { queue: Arc::clone(queue), id: id.parse().ok()?, receipt: receipt.0.clone(), now })
    }
}

/// Between a queue's name and the lake that its messages belong to.
pub(super) const OF_LAKE: char = '@';

/// Assigns the messages that belong to no lake to this one; a host of an earlier version sent them. Returns their number.
pub(super) fn adopt(db: &Connection, lake: &str) -> Result<usize> {
    db.execute("UPDATE messages SET queue = queue || ?1 WHERE instr(queue, '@') = 0", [format!("{OF_LAKE}{lake}")])
}

/// The number of messages of other lakes (of this one if `own`), and their size in bytes.
pub(super) fn kept(db: &Connection, lake: &str, own: bool) -> Result<(u64, u64)> {
    let count = |row: &rusqlite::Row<'_>, column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    db.query_row(
        "SELECT count(*), coalesce(sum(length(body)), 0) FROM messages WHERE (queue LIKE '%' || ?1) = ?2",
        params![format!("{OF_LAKE}{lake}"), own],
        |row| Ok((count(row, 0)?, count(row, 1)?)),
    )
}

/// Removes the messages of other lakes (of this one if `own`).
pub(super) fn discard(db: &Connection, lake: &str, own: bool) -> Result<usize> {
    db.execute("DELETE FROM messages WHERE (queue LIKE '%' || ?1) = ?2", params![format!("{OF_LAKE}{lake}"), own])
}

/// Adds messages that are ready now.
pub(super) fn send(db: &Connection, queue: &str, bodies: &[Bytes], now: i64) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO messages (queue, visible_at, sent_at, body, digest) VALUES (?1, ?2, ?2, ?3, ?4)",
    )?;
    see(db, now)?;
    bodies.iter().try_for_each(|body| insert.execute(params![queue, now, &body[..], digest(body)]).map(drop))
}

/// Adds those messages that are in neither of the two queues, and counts them.
pub(super) fn send_missing(
    db: &Connection,
    queue: &str,
    dead_letters: Option<&str>,
    bodies: &[Bytes],
    now: i64,
) -> Result<usize> {
    let mut insert = db.prepare_cached(
        "INSERT INTO messages (queue, visible_at, sent_at, body, digest)
         SELECT ?1, ?2, ?2, ?3, ?4 WHERE NOT EXISTS (
             SELECT 1 FROM messages WHERE queue IN (?1, ?5) AND digest = ?4 AND body = ?3
         )",
    )?;
    see(db, now)?;
    let mut sent = 0;
    for body in bodies {
        sent += insert.execute(params![queue, now, &body[..], digest(body), dead_letters])?;
    }
    Ok(sent)
}

/// Whether a message of the queue is ready, or may be once it was moved with a clock that was set back.
pub(super) fn any_ready(db: &Connection, queue: &str, now: i64) -> Result<bool> {
    if set_back(db, now)?.is_some() {
        return Ok(true);
    }
    db.prepare_cached("SELECT 1 FROM messages WHERE queue = ?1 AND visible_at <= ?2 LIMIT 1")?
        .exists(params![queue, now])
}

/// A request for messages.
pub(super) struct Take {
    pub(super) queue: Arc<str>,
    pub(super) dead_letters: Option<String>,
    pub(super) max_receives: u32,
    pub(super) max: usize,
    pub(super) now: i64,
    /// When the visibility of what is taken now ends.
    pub(super) until: i64,
}

/// Its result.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) deliveries: Vec<Delivery>,
    /// Messages that moved to the dead-letter queue.
    pub(super) buried: usize,
    /// By how much (µs) the clock was set back.
    pub(super) set_back: Option<i64>,
}

/// Hands out the messages that have been ready for longest.
pub(super) fn take(db: &Connection, wish: &Take) -> Result<Taken> {
    let set_back = follow(db, wish.now)?;
    see(db, wish.now)?;
    let buried = bury(db, wish)?;
    let mut statement = db.prepare_cached(
        "UPDATE messages
         SET receives = receives + 1, visible_at = ?3, receipt = id || '-' || lower(hex(randomblob(9)))
         WHERE id IN (SELECT id FROM messages WHERE queue = ?1 AND visible_at <= ?2 ORDER BY visible_at, id LIMIT ?4)
         RETURNING receipt, id, body, receives",
    )?;
    let max = i64::try_from(wish.max).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![wish.queue, wish.now, wish.until, max], |row| {
        Ok(Delivery {
            receipt: Receipt(row.get(0)?),
            id: row.get::<_, i64>(1)?.to_string(),
            body: row.get::<_, Vec<u8>>(2)?.into(),
            receives: row.get(3)?,
        })
    })?;
    Ok(Taken { deliveries: rows.collect::<Result<_>>()?, buried, set_back })
}

/// Moves messages that have been received too often. Their counts start again in the other queue, and their old receipts are void.
fn bury(db: &Connection, wish: &Take) -> Result<usize> {
    let Some(dead_letters) = &wish.dead_letters else { return Ok(0) };
    let mut statement = db.prepare_cached(
        "UPDATE messages SET queue = ?3, visible_at = ?2, receives = 0, receipt = NULL
         WHERE queue = ?1 AND visible_at <= ?2 AND receives >= ?4",
    )?;
    statement.execute(params![wish.queue, wish.now, dead_letters, wish.max_receives])
}

/// Removes the message, if the lease still holds.
pub(super) fn delete(db: &Connection, lease: &Lease) -> Result<bool> {
    let mut statement =
        db.prepare_cached("DELETE FROM messages WHERE id = ?1 AND queue = ?2 AND receipt = ?3 AND visible_at > ?4")?;
    Ok(statement.execute(params![lease.id, lease.queue, lease.receipt, lease.now])? == 1)
}

/// Makes the message ready at `ready_at`, if the lease still holds.
pub(super) fn give_back(db: &Connection, lease: &Lease, ready_at: i64) -> Result<bool> {
    see(db, lease.now)?;
    let mut statement = db.prepare_cached(
        "UPDATE messages SET visible_at = ?5, receipt = NULL WHERE id = ?1 AND queue = ?2 AND receipt = ?3 AND visible_at > ?4",
    )?;
    Ok(statement.execute(params![lease.id, lease.queue, lease.receipt, lease.now, ready_at])? == 1)
}

/// Moves the end of the message's visibility to `until`, if the lease still holds.
pub(super) fn extend(db: &Connection, lease: &Lease, until: i64) -> Result<bool> {
    see(db, lease.now)?;
    let mut statement = db.prepare_cached(
        "UPDATE messages SET visible_at = ?5 WHERE id = ?1 AND queue = ?2 AND receipt = ?3 AND visible_at > ?4",
    )?;
    Ok(statement.execute(params![lease.id, lease.queue, lease.receipt, lease.now, until])? == 1)
}

/// Counts the queue's messages.
pub(super) fn depth(db: &Connection, queue: &str, now: i64) -> Result<Depth> {
    let mut statement = db.prepare_cached(
        "SELECT count(*) FILTER (WHERE visible_at <= ?2),
                count(*) FILTER (WHERE visible_at > ?2 AND receipt IS NULL),
                count(*) FILTER (WHERE visible_at > ?2 AND receipt IS NOT NULL),
                min(sent_at)
         FROM messages WHERE queue = ?1",
    )?;
    let count = |row: &rusqlite::Row<'_>, column| row.get::<_, i64>(column).map(|count| count.unsigned_abs());
    let depth = statement.query_row(params![queue, now], |row| {
        let oldest = row.get::<_, Option<i64>>(3)?.and_then(DateTime::from_timestamp_micros);
        Ok(Depth { ready: count(row, 0)?, delayed: count(row, 1)?, in_flight: count(row, 2)?, oldest })
    });
    Ok(depth.optional()?.unwrap_or_default())
}
