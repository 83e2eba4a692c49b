//! Paths of cgroups in lines where a path may hold any of the words between them.

/// The two paths of `LIMIT between TASK`, where the cgroup of the task is the one whose limit
/// was met or below it. `None` where more than one place would do, or none.
pub fn nested<'t>(text: &'t str, between: &str) -> Option<(&'t str, &'t str)> {
    let pairs =
        text.match_indices(between).map(|(at, _)| (&text[..at], &text[at + between.len()..]));
    only(pairs.filter(|(limit, task)| is_path(limit) && is_path(task) && is_within(task, limit)))
}

/// The same, with the task before the limit.
pub fn nested_last<'t>(text: &'t str, between: &str) -> Option<(&'t str, &'t str)> {
    let pairs =
        text.match_indices(between).map(|(at, _)| (&text[..at], &text[at + between.len()..]));
    only(pairs.filter(|(task, limit)| is_path(limit) && is_path(task) && is_within(task, limit)))
}

fn only<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    found.next().filter(|_| found.next().is_none())
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
}

fn is_within(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_holds_the_word_between_is_no_other_path() {
        const WORD: &str = ",task_memcg=";
        for (text, paths) in [
            ("/a,task_memcg=/a", Some(("/a", "/a"))),
            ("/,task_memcg=/a/b", Some(("/", "/a/b"))),
            ("/a,task_memcg=/a/b", Some(("/a", "/a/b"))),
            ("/a,task_memcg=/ab", None),
            ("/a/b,task_memcg=/a", None),
            (
                "/a/x,task_memcg=/y,task_memcg=/a/x,task_memcg=/y",
                Some(("/a/x,task_memcg=/y", "/a/x,task_memcg=/y")),
            ),
            // Which of the two is the limit's can not be told.
            ("/,task_memcg=/a,task_memcg=/,task_memcg=/a", None),
            ("a,task_memcg=a", None),
            ("", None),
        ] {
            assert_eq!(nested(text, WORD), paths, "{text}");
        }
        assert_eq!(nested_last("/a/b of /a", " of "), Some(("/a/b", "/a")));
    }
}
