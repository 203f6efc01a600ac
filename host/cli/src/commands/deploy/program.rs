//! This program as the one that Lambda starts: read whole, and checked whether it can run there.
//!
//! Does not look at the processor's family: a function's setting has to match, and the error of Lambda says so.

use anyhow::Context as _;
use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::FileHeader as _;

use crate::exit::ExitCode;
use crate::failure::Failure;

/// The C library of `provided.al2023`, Lambda's runtime for programs.
const GLIBC: (u32, u32) = (2, 34);

/// This program's bytes.
pub(super) fn read() -> anyhow::Result<Vec<u8>> {
    let path = std::env::current_exe().context("cannot tell where this program is")?;
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let hint = "make the bundle with a Linux build of this program, as the Dockerfile makes it";
    if !bytes.starts_with(b"\x7fELF") {
        return Err(Failure::new(ExitCode::Usage, "Lambda runs Linux, and this program is for another system")
            .hint(hint)
            .into());
    }
    let needed = glibc(&bytes).context("cannot read this program's own headers")?;
    if let Some((major, minor)) = needed.filter(|needed| *needed > GLIBC) {
        let text = format!("this program needs glibc {major}.{minor}, Lambda's `provided.al2023` has 2.34");
        return Err(Failure::new(ExitCode::Usage, text).hint(hint).into());
    }
    Ok(bytes)
}

/// The newest version of glibc that a program needs; none if it is linked without glibc.
fn glibc(bytes: &[u8]) -> object::Result<Option<(u32, u32)>> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let Some((mut needed, link)) = sections.gnu_verneed(endian, bytes)? else { return Ok(None) };
    let strings = sections.strings(endian, bytes, link)?;
    let mut newest = None;
    while let Some((_, mut versions)) = needed.next()? {
        while let Some(version) = versions.next()? {
            newest = newest.max(parse(version.name(endian, strings)?));
        }
    }
    Ok(newest)
}

fn parse(version: &[u8]) -> Option<(u32, u32)> {
    let mut numbers = std::str::from_utf8(version).ok()?.strip_prefix("GLIBC_")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse(b"GLIBC_2.34"), Some((2, 34)));
        assert!(parse(b"GLIBC_2.9") < parse(b"GLIBC_2.34"));
        assert_eq!(parse(b"GLIBC_2.2.5"), Some((2, 2)));
        assert_eq!((parse(b"GCC_3.0"), parse(b"GLIBC_PRIVATE")), (None, None));
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    fn this_very_program_needs_some_glibc() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(glibc(&bytes).unwrap() >= Some((2, 17)));
    }
}
