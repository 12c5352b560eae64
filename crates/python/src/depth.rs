//! A bound on how deep the syntax tree of a text can be, before it is built.
//!
//! The parser grows its stack as needed; a hostile source could make it need gigabytes, and whatever walks or drops
//! the tree afterwards has no such help. So tokens are counted first: every bracket, block and operator may add a
//! level, a comma, a semicolon or the end of a line starts afresh. The count is never lower than the depth.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::Mode;
use ruff_python_parser::lexer::lex;

/// Fails with the line from which on `text` may be deeper than `limit` (texts of several lines count as one).
pub(crate) fn check(text: &str, limit: u32) -> Result<(), usize> {
    let mut lexer = lex(text, Mode::Module);
    let mut blocks = 0_u32;
    // The chain of operators so far in each open bracket.
    let mut open: Vec<u32> = vec![0];
    let mut sum = 0_u32;
    let mut line = 1;
    loop {
        let kind = lexer.next_token();
        match kind {
            TokenKind::EndOfFile => return Ok(()),
            TokenKind::Indent => blocks += 1,
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            TokenKind::Newline => {
                line += 1;
                // A logical line ends with all its brackets closed, or is an error.
                open.truncate(1);
                open[0] = 0;
                sum = 0;
            }
            TokenKind::Comma | TokenKind::Semi => {
                if let Some(chain) = open.last_mut() {
                    sum -= *chain;
                    *chain = 0;
                }
            }
            TokenKind::Lpar
            | TokenKind::Lsqb
            | TokenKind::Lbrace
            | TokenKind::FStringStart
            | TokenKind::TStringStart => {
                if let Some(chain) = open.last_mut() {
                    *chain += 1;
                    sum += 1;
                }
                open.push(0);
            }
            TokenKind::Rpar
            | TokenKind::Rsqb
            | TokenKind::Rbrace
            | TokenKind::FStringEnd
            | TokenKind::TStringEnd => {
                if open.len() > 1 {
                    sum -= open.pop().unwrap_or(0);
                }
            }
            // Leaves, and what stands between them without nesting.
            TokenKind::Name
            | TokenKind::Int
            | TokenKind::Float
            | TokenKind::Complex
            | TokenKind::String
            | TokenKind::FStringMiddle
            | TokenKind::TStringMiddle
            | TokenKind::Comment => {}
            TokenKind::NonLogicalNewline => line += 1,
            _ => {
                if let Some(chain) = open.last_mut() {
                    *chain += 1;
                    sum += 1;
                }
            }
        }
        if blocks + sum > limit {
            return Err(line);
        }
    }
}
