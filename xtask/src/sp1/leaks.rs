//! Looks for an input: any 16 bytes in a row of it, anywhere in files.

use crate::shell::{Failure, Result};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

const WINDOW: usize = 16;
/// A window with fewer different bytes than this (lengths, zeros) is found by
/// chance.
const MIN_DIFFERENT: usize = 9;

/// The windows of one or more inputs.
#[derive(Default)]
pub(crate) struct Needles(HashSet<[u8; WINDOW]>);

impl Needles {
    pub(crate) fn add(&mut self, input: &[u8]) {
        let windows = input.windows(WINDOW).filter_map(|w| w.try_into().ok());
        self.0.extend(windows.filter(telling));
    }

    pub(crate) fn of_files(files: &[PathBuf]) -> Result<Self> {
        let mut needles = Self::default();
        for file in files {
            needles.add(&read(file)?);
        }
        match needles.0.len() {
            0 => Err(Failure::new("nothing to look for")),
            _ => Ok(needles),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many places of `bytes` begin one of the windows.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> usize {
        let windows = bytes.windows(WINDOW);
        windows
            .filter(|w| <&[u8; WINDOW]>::try_from(*w).is_ok_and(|w| self.0.contains(w)))
            .count()
    }

    /// How many of the windows are somewhere in these files and in all files
    /// of these folders; how many bytes those are; which file was the first.
    pub(crate) fn search(&self, places: &[PathBuf]) -> Result<Found> {
        let mut found = Found::default();
        for file in files(places)? {
            let bytes = read(&file)?;
            let count = self.found_in(&bytes);
            found.bytes += bytes.len();
            found.count += count;
            if count > 0 && found.first.is_none() {
                found.first = Some(file);
            }
        }
        Ok(found)
    }
}

#[derive(Default)]
pub(crate) struct Found {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    pub(crate) first: Option<PathBuf>,
}

fn telling(window: &[u8; WINDOW]) -> bool {
    window.iter().collect::<HashSet<_>>().len() >= MIN_DIFFERENT
}

fn files(places: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut waiting = places.to_vec();
    while let Some(place) = waiting.pop() {
        let failure = |error| Failure::of(place.display(), error);
        let kind = fs::symlink_metadata(&place).map_err(failure)?;
        if kind.is_dir() {
            for entry in fs::read_dir(&place).map_err(failure)? {
                waiting.push(entry.map_err(failure)?.path());
            }
        } else if kind.is_file() {
            files.push(place);
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Failure::of(path.display(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_window_is_enough_and_one_byte_off_is_none() {
        let input: Vec<u8> = (0..=255).collect();
        let mut needles = Needles::default();
        needles.add(&input);
        assert_eq!(needles.len(), 241);
        let mut hay = vec![7; 1000];
        assert_eq!(needles.found_in(&hay), 0);
        hay[500..516].copy_from_slice(&input[100..116]);
        assert_eq!(needles.found_in(&hay), 1);
        hay[507] ^= 1;
        assert_eq!(needles.found_in(&hay), 0);
    }

    #[test]
    fn lengths_and_zeros_are_not_looked_for() {
        let mut needles = Needles::default();
        needles.add(&[0; 100]);
        needles.add(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
        assert_eq!(needles.len(), 0);
    }
}
