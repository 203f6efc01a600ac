//! Frames between host and worker: four bytes of length, then postcard.
//!
//! Does not trust a length: it reads no more than the reader allows, and keeps no more than has arrived.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes one value and flushes.
pub(super) fn write(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_allocvec(value).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("frame of 4 GiB or more"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&bytes)?;
    to.flush()
}

/// Sends bytes without encoding: there are too many to encode them one by one.
pub(super) fn write_bytes(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("frame of 4 GiB or more"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(bytes)?;
    to.flush()
}

/// Reads one value of at most `most` bytes; `None` at the end of the stream.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read, most: u64) -> io::Result<Option<T>> {
    let Some(bytes) = read_bytes(from, most)? else { return Ok(None) };
    postcard::from_bytes(&bytes).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads the bytes of one frame; `None` at the end of the stream.
pub(super) fn read_bytes(from: &mut impl Read, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let mut first = from.take(4);
    let mut got = Vec::new();
    match first.read_to_end(&mut got)? {
        0 => return Ok(None),
        4 => length.copy_from_slice(&got),
        _ => return Err(io::ErrorKind::UnexpectedEof.into()),
    }
    let length = u64::from(u32::from_le_bytes(length));
    if length > most {
        let message = format!("frame of {length} bytes, at most {most} expected");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other_and_end() {
        let mut stream = Vec::new();
        for value in ["one", "two"] {
            write(&mut stream, &value).unwrap();
        }
        let mut rest = stream.as_slice();
        assert_eq!(read::<String>(&mut rest, 100).unwrap().as_deref(), Some("one"));
        assert_eq!(read::<String>(&mut rest, 100).unwrap().as_deref(), Some("two"));
        assert_eq!(read::<String>(&mut rest, 100).unwrap(), None);
    }

    #[test]
    fn half_a_frame_a_large_one_and_nonsense_are_errors() {
        let mut stream = Vec::new();
        write(&mut stream, &"some text").unwrap();
        let kind = |bytes: &[u8], most| read::<String>(&mut &*bytes, most).unwrap_err().kind();
        assert_eq!(kind(&stream[..7], 100), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(&stream[..2], 100), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(&[0xff, 0xff, 0xff, 0xff, 1], 100), io::ErrorKind::FileTooLarge);
        assert_eq!(kind(&[1, 0, 0, 0, 0xff], 100), io::ErrorKind::InvalidData);
    }
}
