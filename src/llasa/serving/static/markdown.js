// Whether a text is clearly written in Markdown: by a mark that nobody types otherwise.
// [Siobhan](shivawn) is none (a respelling), nor are lists with hyphens and a single # or *.

const MARKS = [
  /^#{2,6} \S/m, // a heading below the first
  /^# \S.*\n\s*\n/m, // a title over a paragraph
  /^ {0,3}(```|~~~)/m, // a block of code
  /^\s*\|?\s*:?-{3,}:?\s*\|[-:|\s]*$/m, // the rule of a table
  /!\[[^\]\n]*\]\([^)\n]+\)/, // a picture
  /\[[^\]\n]*\]\((?:https?:|mailto:|[/.#])[^)\n]*\)/, // a link
  /(?:^|[\s(])\*\*(?=\S)[^\n]*?\S\*\*(?!\w)/m, // strong words
  /^---\n[\s\S]*?:[\s\S]*?\n---\n/, // what stands before a page
];

export const MARKDOWN_FILE = /\.(md|markdown)$/i;

export const looksLikeMarkdown = text => MARKS.some(mark => mark.test(text.replaceAll("\r\n", "\n")));
