//! What the anonymous pages of each mapping are: by the mapping's kind and rights, by what
//! stands below it, and by where the stack pointers of threads are.

use crate::sample::{Area, AreaKind, Stacks, Walk};

/// What the anonymous pages of a mapping are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The kernel names it, or a thread's stack pointer is in it, above a guard.
    Stack,
    /// By its guard, while threads are left of which no stack is known: likely.
    LikelyStack,
    /// As the last, where more is against it than for it.
    PerhapsStack,
    /// Executable and not writable: made by the program while it runs.
    Code,
    /// Written pages of a file's mapping.
    Data,
    /// By its place, and little enough: likely.
    Bss,
    /// In the place of a `.bss`, and more than most hold.
    BesideData,
    Heap,
}

/// The most written memory that is taken for a `.bss`. The kernel puts heap memory
/// right behind a library's data too, and merges it with the `.bss`.
const BSS: u64 = 1 << 20;

/// The role of each mapping. `threads` bounds how many stacks are recognised by their
/// guards, where no stack pointers were read.
pub(crate) fn roles(walk: &Walk, threads: Option<u64>) -> Vec<Role> {
    let role = |(at, area): (usize, &Area)| {
        let below = at.checked_sub(1).map(|below| &walk.areas[below]);
        role(area, below.filter(|below| below.end == area.start))
    };
    let mut roles: Vec<Option<Role>> = walk.areas.iter().enumerate().map(role).collect();
    match walk.stacks.as_ref().and_then(|stacks| stacks.as_ref().ok()) {
        Some(stacks) => by_pointers(&walk.areas, &mut roles, stacks),
        None => by_guards(&mut roles, threads.map_or(u64::MAX, |n| n.saturating_sub(1))),
    }
    roles.into_iter().map(|role| role.unwrap_or(Role::Heap)).collect()
}

/// The role of a mapping without regard to stack pointers; none for what stands above a
/// guard, which may be a stack.
fn role(area: &Area, touching: Option<&Area>) -> Option<Role> {
    let role =
        match area.kind {
            AreaKind::Stack => Role::Stack,
            AreaKind::File | AreaKind::Kernel => Role::Data,
            AreaKind::Anonymous if area.executable && !area.writable => Role::Code,
            AreaKind::Anonymous if touching.is_some_and(|t| area.is_above_guard(t)) => {
                return None;
            }
            AreaKind::Anonymous if touching.is_some_and(is_written_data) => {
                if area.anonymous <= BSS { Role::Bss } else { Role::BesideData }
            }
            _ => Role::Heap,
        };
    Some(role)
}

/// For want of stack pointers the first mappings above guards are likely to be stacks.
fn by_guards(roles: &mut [Option<Role>], threads: u64) {
    let open = roles.iter_mut().filter(|role| role.is_none());
    let most = usize::try_from(threads).unwrap_or(usize::MAX);
    open.take(most).for_each(|role| *role = Some(Role::LikelyStack));
}

/// What holds a stack pointer above a guard is a stack. Threads that ran when they were
/// asked have one too, and so have those whose pointer is elsewhere, in a coroutine's
/// stack: most likely one of a size that others have.
fn by_pointers(areas: &[Area], roles: &mut [Option<Role>], stacks: &Stacks) {
    let (mut found, mut described) = (0, 0);
    let mut sizes = Vec::new();
    for (area, role) in areas.iter().zip(&mut *roles) {
        let within = stacks.within(area.start, area.end);
        if within == 0 {
            // A thread that is no more has left it, or it is that of one which runs.
            if role.is_none() && stacks.is_left(area.start, area.end) {
                *role = Some(Role::LikelyStack);
                described += 1;
            }
            continue;
        }
        match role {
            None => {
                *role = Some(Role::Stack);
                sizes.push(area.size());
                found += within;
            }
            Some(Role::Stack) => found += within,
            Some(Role::Heap | Role::Bss | Role::BesideData) => *role = Some(Role::PerhapsStack),
            Some(_) => {}
        }
    }
    let left = stacks.threads().saturating_sub(found).saturating_sub(described);
    let is_usual = |area: &Area| sizes.is_empty() || sizes.contains(&area.size());
    let open = |(_, role): &(&Area, &mut Option<Role>)| role.is_none();
    let usual = areas.iter().zip(&mut *roles).filter(open).filter(|(area, _)| is_usual(area));
    let taken = usual.take(left).map(|(_, role)| *role = Some(Role::LikelyStack)).count();
    if left > taken {
        let others = roles.iter_mut().filter(|role| role.is_none());
        others.for_each(|role| *role = Some(Role::PerhapsStack));
    }
}

/// The loader puts `.bss` right behind data, whose last page it writes. A shared
/// mapping of a file has no pages of its own.
fn is_written_data(area: &Area) -> bool {
    area.kind == AreaKind::File && area.writable && area.anonymous.saturating_add(area.swap) > 0
}
