//! Opcodes that import, call and build what is on the stack.

use crate::calls::Target;
use crate::heap::Kind;
use crate::observer::{Observer, Skip};
use crate::opcode as op;
use crate::state::{NO_MARK, State, UNDERFLOW};
use wb_verdict::How;

impl State {
    /// GLOBAL and INST, whose names are given.
    pub(crate) fn named(
        &mut self,
        code: u8,
        module: &str,
        name: &str,
        at: u64,
        obs: &mut dyn Observer,
    ) -> Result<(), &'static str> {
        // The Python reader imports before it looks for the mark.
        let callee = self.import(module, name, at, obs);
        if code == op::GLOBAL {
            self.stack.push(callee);
            return Ok(());
        }
        let from = self.pop_mark().ok_or(NO_MARK)?;
        let items = self.stack.split_off(from);
        let args = self.heap.seq(Kind::Tuple, &items);
        let made = self.call(Target { callee, how: How::Inst, at }, args, None, obs)?;
        self.stack.push(made);
        Ok(())
    }

    /// Executes one of them. Returns where the opcodes go on if the loader reads from the stream itself.
    pub(crate) fn object_opcode(
        &mut self,
        code: u8,
        at: u64,
        obs: &mut dyn Observer,
    ) -> Result<Option<Skip>, &'static str> {
        if code == op::OBJ {
            let from = self.pop_mark().ok_or(NO_MARK)?;
            let items = self.stack.split_off(from);
            let (&callee, args) = items.split_first().ok_or(UNDERFLOW)?;
            let args = self.heap.seq(Kind::Tuple, args);
            let made = self.call(Target { callee, how: How::Obj, at }, args, None, obs)?;
            self.stack.push(made);
            return Ok(None);
        }
        if code == op::BUILD {
            if self.stack.len() < self.fence() + 2 {
                return Err(UNDERFLOW);
            }
            let state = self.stack.pop().ok_or(UNDERFLOW)?;
            let &inst = self.stack.last().ok_or(UNDERFLOW)?;
            return Ok(self.build(inst, state, at, obs));
        }
        let kwargs = if code == op::NEWOBJ_EX { Some(self.pop().ok_or(UNDERFLOW)?) } else { None };
        let top = self.pop().ok_or(UNDERFLOW)?;
        if code == op::BINPERSID {
            self.persistent(top, at, obs);
            return Ok(None);
        }
        let below = self.pop().ok_or(UNDERFLOW)?;
        let how = match code {
            op::STACK_GLOBAL => {
                let v = self.stack_global(below, top, at, obs)?;
                self.stack.push(v);
                return Ok(None);
            }
            op::NEWOBJ => How::Newobj,
            op::NEWOBJ_EX => How::NewobjEx,
            _ => How::Reduce,
        };
        let made = self.call(Target { callee: below, how, at }, top, kwargs, obs)?;
        self.stack.push(made);
        Ok(None)
    }
}
