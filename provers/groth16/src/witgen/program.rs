//! A generator's life: compiled, instantiated, run once.

use std::time::Duration;

use ark_bn254::Fr;
use ark_ff::PrimeField;
use wasmtime::{
    Caller, Config, Engine, ExternType, Linker, Module, ResourceLimiter, Trap, TypedFunc, ValType,
    WasmBacktraceDetails,
};
use zeroize::Zeroizing;

use super::abi::{Abi, SignalHash, message};
use super::deadline::Deadline;
use super::error::{SecretDetail, WitgenError};
use super::{derived, input};
use crate::wtns::{ELEMENT, start_file};

/// The largest WebAssembly module that is compiled.
pub const MAX_WASM_BYTES: usize = 256 << 20;
/// Bytes of stack that generated code may use.
const STACK: usize = 1 << 20;
/// Entries of tables, all together; circom's code has none or few.
const MAX_TABLE: usize = 1 << 16;
/// Bytes of messages that are kept.
const MAX_MESSAGES: usize = SecretDetail::MAX;

/// The functions that circom's code imports, of module `runtime`, and how many
/// numbers of 32 bits each takes.
const IMPORTS: [(&str, usize); 4] = [
    ("exceptionHandler", 1),
    ("printErrorMessage", 0),
    ("writeBufferMessage", 0),
    ("showSharedRWMemory", 0),
];

/// What a generator may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of memory of its own.
    pub memory: usize,
    /// Wall-clock time of one step: instantiating, or running.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            time: Duration::from_secs(60),
        }
    }
}

pub(super) type Store = wasmtime::Store<State>;

/// What the host keeps for the code that runs. Secret.
pub(super) struct State {
    memory_limit: usize,
    /// More memory or table was asked for than the limit allows.
    denied: bool,
    messages: Zeroizing<String>,
    /// The signal that is being set.
    signal: Zeroizing<String>,
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.memory_limit;
        self.denied |= !allowed;
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= MAX_TABLE;
        self.denied |= !allowed;
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }
}

/// A compiled generator, whose imports were checked. Public.
pub struct Program {
    module: Module,
}

impl core::fmt::Debug for Program {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Program(…)")
    }
}

impl Program {
    /// Compiles WebAssembly. Runs none of it.
    ///
    /// # Errors
    /// Not WebAssembly, not circom 2's, or with other imports than circom's.
    pub fn compile(wasm: &[u8]) -> Result<Self, WitgenError> {
        if wasm.len() > MAX_WASM_BYTES {
            return Err(WitgenError::WasmInvalid);
        }
        let engine = engine()?;
        let module = Module::from_binary(&engine, wasm).map_err(|_| WitgenError::WasmInvalid)?;
        Self::check(module)
    }

    /// The compiled code, for [`Self::from_derived`] in a later process. Public.
    ///
    /// # Errors
    /// [`WitgenError::Resources`].
    pub fn to_derived(&self) -> Result<Vec<u8>, WitgenError> {
        self.module.serialize().map_err(|_| WitgenError::Resources)
    }

    /// Takes compiled code that [`Self::to_derived`] made in a process of the
    /// same executable. Machine code: the bytes must come from there and from
    /// nowhere else.
    ///
    /// # Errors
    /// [`WitgenError::DerivedInvalid`] when another version, other settings or
    /// another kind of processor made it.
    pub fn from_derived(bytes: &[u8]) -> Result<Self, WitgenError> {
        Self::check(derived::load(&engine()?, bytes)?)
    }

    fn check(module: Module) -> Result<Self, WitgenError> {
        // circom 1 by name: its imports would be refused with less to go by.
        if module.get_export("getFrLen").is_some() && module.get_export("getVersion").is_none() {
            return Err(WitgenError::WasmCircom1);
        }
        for import in module.imports() {
            let known = import.module() == "runtime"
                && IMPORTS.iter().any(|(name, parameters)| {
                    *name == import.name() && takes(&import.ty(), *parameters)
                });
            if !known {
                let mut import = format!("{}.{}", import.module(), import.name());
                if import.len() > 128 {
                    import = import.chars().take(32).collect();
                }
                return Err(WitgenError::WasmForbiddenImport { import });
            }
        }
        Ok(Self { module })
    }

    /// Makes an instance that is ready for input: its start function has run, its
    /// exports were found, its field is BN254's. All of it under `limits`.
    ///
    /// # Errors
    /// The generator breaks circom's interface or exceeds the limits.
    pub fn instantiate(&self, limits: Limits) -> Result<Generator, WitgenError> {
        let needs = self.module.resources_required();
        if needs.max_initial_memory_size.unwrap_or(0) > limits.memory as u64 {
            return Err(WitgenError::MemoryLimit);
        }
        let engine = self.module.engine();
        let mut store = wasmtime::Store::new(
            engine,
            State {
                memory_limit: limits.memory,
                denied: false,
                messages: Zeroizing::new(String::new()),
                signal: Zeroizing::new(String::new()),
            },
        );
        store.limiter(|state| state);
        store.set_epoch_deadline(1);
        let deadline = Deadline::arm(engine, limits.time)?;
        let instance = linker(engine)
            .and_then(|linker| linker.instantiate(&mut store, &self.module))
            .map_err(|error| classify(&error, &store))?;
        let abi = Abi::find(&mut store, &instance)?;
        if abi.version(&mut store)? != 2 {
            return Err(WitgenError::WasmNotCircom {
                export: "getVersion",
            });
        }
        if abi.prime(&mut store)? != Some(Fr::MODULUS) {
            return Err(WitgenError::WasmWrongField);
        }
        let witness_size = abi.witness_size(&mut store)?;
        let input_size = abi.input_size(&mut store)?;
        abi.init(&mut store)?;
        drop(deadline);
        Ok(Generator {
            store,
            abi,
            witness_size,
            input_size,
        })
    }
}

/// An instance that is ready for its one input.
pub struct Generator {
    store: Store,
    abi: Abi,
    witness_size: u32,
    input_size: u32,
}

impl core::fmt::Debug for Generator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Generator(…)")
    }
}

impl Generator {
    /// Runs the generator on an input (JSON) and gives back the witness as a
    /// `.wtns` file. Uses it up: no state of one witness meets another.
    ///
    /// # Errors
    /// The input does not fit the circuit, or the generator exceeds `limits`.
    pub fn run(mut self, json: &[u8], limits: Limits) -> Result<Zeroizing<Vec<u8>>, WitgenError> {
        // Both sizes are the generator's word: they must fit the limit.
        let bytes = u64::from(self.witness_size.max(self.input_size)) * ELEMENT as u64;
        if bytes > limits.memory as u64 {
            return Err(WitgenError::MemoryLimit);
        }
        // Room for more than it takes, so that what is too much can be named.
        let room = self.input_size as usize * 2 + 1024;
        let signals = input::parse(json, room)?;
        let store = &mut self.store;
        store.data_mut().memory_limit = limits.memory;
        let deadline = Deadline::arm(store.engine(), limits.time)?;
        store.set_epoch_deadline(1);
        for (name, range) in &signals.names {
            let values = signals.values.get(range.clone()).unwrap_or_default();
            name.as_str().clone_into(&mut store.data_mut().signal);
            let hash = SignalHash::of(name);
            // Nought is what circom 2.2 says of a signal that it does not know.
            match self.abi.signal_size(store, hash)? {
                Some(size) if size < 0 || (size == 0 && !values.is_empty()) => {
                    return Err(WitgenError::SignalUnknown(signal(store)));
                }
                Some(size) if usize::try_from(size) != Ok(values.len()) => {
                    return Err(WitgenError::SignalLength(signal(store)));
                }
                _ => {}
            }
            for (index, value) in (0i32..).zip(values) {
                self.abi.set_signal(store, hash, index, value)?;
            }
        }
        let (given, all) = (signals.values.len(), self.input_size as usize);
        if given < all {
            let detail = format!("{given} of {all} values were given");
            return Err(WitgenError::SignalMissing(SecretDetail::new(detail)));
        }
        drop(signals);
        let mut file = start_file(self.witness_size);
        for index in 0..self.witness_size {
            self.abi.read_witness(store, index, &mut file)?;
        }
        drop(deadline);
        Ok(file)
    }
}

/// An engine, the same in every process: compiled code fits it.
fn engine() -> Result<Engine, WitgenError> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        // It would keep addresses and names that nobody is shown.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(false)
        // Needs a file in memory, which the sandbox refuses.
        .memory_init_cow(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false);
    Engine::new(&config).map_err(|_| WitgenError::Resources)
}

fn takes(import: &ExternType, parameters: usize) -> bool {
    let ExternType::Func(function) = import else {
        return false;
    };
    function.params().len() == parameters
        && function.results().len() == 0
        && function.params().all(|p| matches!(p, ValType::I32))
}

/// What the code threw.
#[derive(Debug, thiserror::Error)]
#[error("exception")]
struct Exception(i32);

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let raise = |code: i32| -> wasmtime::Result<()> { Err(Exception(code).into()) };
    linker.func_wrap("runtime", "exceptionHandler", raise)?;
    linker.func_wrap("runtime", "printErrorMessage", print_error_message)?;
    // Two that serve the circuit's log(): nobody reads it.
    linker.func_wrap("runtime", "writeBufferMessage", || {})?;
    linker.func_wrap("runtime", "showSharedRWMemory", || {})?;
    Ok(linker)
}

/// Keeps the words that precede an exception, up to a limit.
fn print_error_message(mut caller: Caller<'_, State>) -> wasmtime::Result<()> {
    let get_char = caller
        .get_export("getMessageChar")
        .and_then(|export| export.into_func());
    let Some(get_char) = get_char else {
        return Ok(());
    };
    let get_char: TypedFunc<(), i32> = get_char.typed(&caller)?;
    let line = Zeroizing::new(message(
        wasmtime::AsContextMut::as_context_mut(&mut caller),
        &get_char,
    )?);
    let kept = &mut caller.data_mut().messages;
    if kept.len() + line.len() < MAX_MESSAGES {
        if !kept.is_empty() {
            kept.push('\n');
        }
        kept.push_str(line.trim_end());
    }
    Ok(())
}

fn signal(store: &Store) -> SecretDetail {
    SecretDetail::new(format!("signal `{}`", store.data().signal.as_str()))
}

/// What a call's failure means. wasmtime's own text goes nowhere.
pub(super) fn classify(error: &wasmtime::Error, store: &Store) -> WitgenError {
    let state = store.data();
    if state.denied {
        return WitgenError::MemoryLimit;
    }
    if let Some(Exception(code)) = error.downcast_ref() {
        // circom_runtime 0.1.28, witness_calculator.js, exceptionHandler.
        return match code {
            1 => WitgenError::SignalUnknown(signal(store)),
            2 | 6 => WitgenError::SignalLength(signal(store)),
            3 => WitgenError::SignalDuplicate(signal(store)),
            4 => WitgenError::ConstraintFailed(SecretDetail::new(state.messages.to_string())),
            5 => WitgenError::MemoryLimit,
            _ => WitgenError::Trapped,
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => WitgenError::Timeout,
        _ => WitgenError::Trapped,
    }
}
