// The search quotes from search-texts.js: a page that lies on disk cannot fetch another.
window.fetch = async (page) => ({ text: async () => page.replace("./", "") });
Search.htmlToText = (page, anchor) => {
  const { text, begins } = PAGE_TEXTS[page];
  return text.slice(begins[anchor.slice(1)] ?? 0);
};

// What has been found in a certain place of a page is not listed once more as the page.
const search = Search._performSearch;
Search._performSearch = (...query) => {
  const results = search(...query); // the best one comes last
  const inPlace = ([page], i) => results.slice(i + 1).some((better) => better[0] === page && better[2]);
  return results.filter((result, i) => result[2] || !inPlace(result, i));
};
