//! The exports of circom 2's generated code, typed, and its shared memory.

use ark_ff::BigInt;
use wasmtime::{Instance, Memory, StoreContextMut, TypedFunc, WasmParams, WasmResults};

use super::error::WitgenError;
use super::program::{State, Store, classify};

/// Words of 32 bits in an element of BN254's scalar field.
const WORDS: usize = 8;

/// What runs the generator.
pub(super) struct Abi {
    init: TypedFunc<i32, ()>,
    get_version: TypedFunc<(), i32>,
    get_field_words: TypedFunc<(), i32>,
    get_raw_prime: TypedFunc<(), ()>,
    get_witness_size: TypedFunc<(), i32>,
    get_input_size: TypedFunc<(), i32>,
    /// circom 2.0.0 to 2.0.3 lack it.
    get_input_signal_size: Option<TypedFunc<(i32, i32), i32>>,
    set_input_signal: TypedFunc<(i32, i32, i32), ()>,
    get_witness: TypedFunc<i32, ()>,
    shared: Shared,
}

/// One element that both sides read and write.
enum Shared {
    /// Where it lies in the exported memory.
    Memory(Memory, usize),
    /// Word by word, where the memory or its place is not exported.
    Calls {
        read: TypedFunc<i32, i32>,
        write: TypedFunc<(i32, i32), ()>,
    },
}

impl Abi {
    /// Finds the exports.
    pub(super) fn find(store: &mut Store, instance: &Instance) -> Result<Self, WitgenError> {
        let shared = match (
            instance.get_memory(&mut *store, "memory"),
            optional::<(), i32>(store, instance, "getSharedRWMemoryStart"),
        ) {
            (Some(memory), Some(start)) => {
                let start = call(store, &start, ())?;
                Shared::Memory(memory, start.cast_unsigned() as usize)
            }
            _ => Shared::Calls {
                read: export(store, instance, "readSharedRWMemory")?,
                write: export(store, instance, "writeSharedRWMemory")?,
            },
        };
        Ok(Self {
            init: export(store, instance, "init")?,
            get_version: export(store, instance, "getVersion")?,
            get_field_words: export(store, instance, "getFieldNumLen32")?,
            get_raw_prime: export(store, instance, "getRawPrime")?,
            get_witness_size: export(store, instance, "getWitnessSize")?,
            get_input_size: export(store, instance, "getInputSize")?,
            get_input_signal_size: optional(store, instance, "getInputSignalSize"),
            set_input_signal: export(store, instance, "setInputSignal")?,
            get_witness: export(store, instance, "getWitness")?,
            shared,
        })
    }

    pub(super) fn version(&self, store: &mut Store) -> Result<i32, WitgenError> {
        call(store, &self.get_version, ())
    }

    /// The field's modulus, if it has eight words.
    pub(super) fn prime(&self, store: &mut Store) -> Result<Option<BigInt<4>>, WitgenError> {
        let words = call(store, &self.get_field_words, ())?;
        if usize::try_from(words) != Ok(WORDS) {
            return Ok(None);
        }
        call(store, &self.get_raw_prime, ())?;
        let mut bytes = [0u8; 4 * WORDS];
        self.read_shared(store, &mut bytes)?;
        Ok(Some(crate::container::limbs(&bytes)))
    }

    pub(super) fn witness_size(&self, store: &mut Store) -> Result<u32, WitgenError> {
        Ok(call(store, &self.get_witness_size, ())?.cast_unsigned())
    }

    pub(super) fn input_size(&self, store: &mut Store) -> Result<u32, WitgenError> {
        Ok(call(store, &self.get_input_size, ())?.cast_unsigned())
    }

    /// Makes it ready for input. Zero: no extra checks, as snarkjs calls it.
    pub(super) fn init(&self, store: &mut Store) -> Result<(), WitgenError> {
        call(store, &self.init, 0)
    }

    /// How many values the signal takes; nothing if the generator cannot say,
    /// a negative number if it has no such signal.
    pub(super) fn signal_size(
        &self,
        store: &mut Store,
        name: SignalHash,
    ) -> Result<Option<i32>, WitgenError> {
        match &self.get_input_signal_size {
            Some(size) => call(store, size, (name.0, name.1)).map(Some),
            None => Ok(None),
        }
    }

    /// Sets one value of a signal. The last of all runs the circuit.
    pub(super) fn set_signal(
        &self,
        store: &mut Store,
        name: SignalHash,
        index: i32,
        value: &BigInt<4>,
    ) -> Result<(), WitgenError> {
        let mut bytes = zeroize::Zeroizing::new([0u8; 4 * WORDS]);
        for (to, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(value.0) {
            *to = limb.to_le_bytes();
        }
        self.write_shared(store, &bytes)?;
        call(store, &self.set_input_signal, (name.0, name.1, index))
    }

    /// Appends element `index` of the witness to `out`, little-endian.
    pub(super) fn read_witness(
        &self,
        store: &mut Store,
        index: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), WitgenError> {
        call(store, &self.get_witness, index.cast_signed())?;
        let mut bytes = zeroize::Zeroizing::new([0u8; 4 * WORDS]);
        self.read_shared(store, &mut bytes)?;
        out.extend_from_slice(bytes.as_slice());
        Ok(())
    }

    fn read_shared(
        &self,
        store: &mut Store,
        bytes: &mut [u8; 4 * WORDS],
    ) -> Result<(), WitgenError> {
        match &self.shared {
            Shared::Memory(memory, start) => memory
                .read(&*store, *start, bytes)
                .map_err(|_| not_circom("getSharedRWMemoryStart")),
            Shared::Calls { read, .. } => {
                for (index, word) in (0..).zip(bytes.as_chunks_mut::<4>().0) {
                    *word = call(store, read, index)?.to_le_bytes();
                }
                Ok(())
            }
        }
    }

    fn write_shared(&self, store: &mut Store, bytes: &[u8; 4 * WORDS]) -> Result<(), WitgenError> {
        match &self.shared {
            Shared::Memory(memory, start) => memory
                .write(&mut *store, *start, bytes)
                .map_err(|_| not_circom("getSharedRWMemoryStart")),
            Shared::Calls { write, .. } => {
                for (index, word) in (0..).zip(bytes.as_chunks::<4>().0) {
                    call(store, write, (index, i32::from_le_bytes(*word)))?;
                }
                Ok(())
            }
        }
    }
}

/// A signal's name as the generator knows it: the halves of its 64-bit FNV-1a
/// hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SignalHash(i32, i32);

impl SignalHash {
    /// Over UTF-16 code units, as circom_runtime's JavaScript does; for the
    /// identifiers that circom allows, the same as over bytes.
    pub(super) fn of(name: &str) -> Self {
        let hash = name
            .encode_utf16()
            .fold(0xcbf2_9ce4_8422_2325, |hash, unit| {
                (hash ^ u64::from(unit)).wrapping_mul(0x0100_0000_01b3)
            });
        Self((hash >> 32) as u32 as i32, hash as u32 as i32)
    }
}

/// Most characters that are taken of one message.
const MAX_MESSAGE: usize = 512;

/// The message that the generator holds ready, character by character.
pub(super) fn message(
    mut context: StoreContextMut<'_, State>,
    get_char: &TypedFunc<(), i32>,
) -> wasmtime::Result<String> {
    let mut text = String::new();
    for _ in 0..MAX_MESSAGE {
        match get_char.call(&mut context, ())? {
            0 => break,
            code => {
                let code = code.cast_unsigned();
                text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
    }
    Ok(text)
}

fn call<P: WasmParams, R: WasmResults>(
    store: &mut Store,
    function: &TypedFunc<P, R>,
    parameters: P,
) -> Result<R, WitgenError> {
    let result = function.call(&mut *store, parameters);
    result.map_err(|error| classify(&error, store))
}

fn optional<P: WasmParams, R: WasmResults>(
    store: &mut Store,
    instance: &Instance,
    name: &str,
) -> Option<TypedFunc<P, R>> {
    instance.get_typed_func(store, name).ok()
}

fn export<P: WasmParams, R: WasmResults>(
    store: &mut Store,
    instance: &Instance,
    name: &'static str,
) -> Result<TypedFunc<P, R>, WitgenError> {
    optional(store, instance, name).ok_or(not_circom(name))
}

fn not_circom(export: &'static str) -> WitgenError {
    WitgenError::WasmNotCircom { export }
}

#[cfg(test)]
mod tests {
    use super::SignalHash;

    #[test]
    fn names_hash_as_in_javascript() {
        // fnvHash("secret") and fnvHash("") of circom_runtime 0.1.28's utils.js.
        assert_eq!(
            SignalHash::of("secret"),
            SignalHash(SECRET_HIGH as i32, SECRET_LOW as i32)
        );
        assert_eq!(
            SignalHash::of(""),
            SignalHash(0xcbf2_9ce4_u32 as i32, 0x8422_2325_u32 as i32)
        );
    }

    const SECRET_HIGH: u32 = 0xab23_f0ee;
    const SECRET_LOW: u32 = 0xc020_c951;
}
